//! The request that is asked about, from what a person types.

use std::net::IpAddr;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use portcullis_shared::routing::{BadPath, RequestView, normalize};

/// A request as a client would send it.
#[derive(Clone, Debug)]
pub struct Request {
    /// Method, as typed: methods are case-sensitive.
    pub method: String,
    /// `http`, `https` or `tcp`.
    pub scheme: String,
    /// `Host`, as typed.
    pub authority: String,
    /// Port to which a client connects.
    pub port: u16,
    /// Whether the URL names the port.
    pub port_given: bool,
    /// Server name in the TLS handshake, lower case.
    pub sni: Option<String>,
    /// The client's address; `None` = one that no network of a Gateway names.
    pub client: Option<IpAddr>,
    /// Path without query, normalised as the gateway does it; as typed when the gateway refuses it.
    pub path: String,
    /// Why the gateway refuses the path.
    pub bad_path: Option<BadPath>,
    /// Query.
    pub query: Option<String>,
    /// Headers, without `host`.
    pub headers: HeaderMap,
}

impl Request {
    /// Reads method, URL and `name: value` headers. `Err` says what is wrong.
    pub fn parse(method: &str, url: &str, headers: &[String]) -> Result<Request, String> {
        if http::Method::from_bytes(method.as_bytes()).is_err() {
            return Err(format!("{method:?} is not a method"));
        }
        let full = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let uri: http::Uri = full.parse().map_err(|error| format!("{url:?} is not a URL: {error}"))?;
        let scheme = uri.scheme_str().unwrap_or("http").to_ascii_lowercase();
        let default_port = match scheme.as_str() {
            "http" => 80,
            "https" => 443,
            "tcp" => 0,
            other => {
                return Err(format!("the URL begins with {other}://, expected http://, https:// or tcp://"));
            }
        };
        let authority = uri.authority().ok_or_else(|| format!("{url:?} names no host"))?;
        if scheme == "tcp" && authority.port_u16().is_none() {
            return Err(format!("{url:?} names no port"));
        }
        if authority.as_str().contains('@') {
            return Err("a user in the URL is not sent to a gateway".to_owned());
        }
        let typed = if uri.path().is_empty() { "/" } else { uri.path() };
        let (path, bad_path) = match normalize(typed) {
            Ok(path) => (path.into_owned(), None),
            Err(error) => (typed.to_owned(), Some(error)),
        };
        let host = authority.host();
        let port = authority.port_u16().unwrap_or(default_port);
        let mut request = Request {
            method: method.to_owned(),
            // A CONNECT always names the port.
            authority: if port == default_port && method != "CONNECT" {
                host.to_owned()
            } else {
                format!("{host}:{port}")
            },
            sni: (scheme == "https").then(|| sni(host)).flatten(),
            client: None,
            scheme,
            port,
            port_given: authority.port().is_some(),
            path,
            bad_path,
            query: uri.query().map(str::to_owned),
            headers: HeaderMap::new(),
        };
        for header in headers {
            request.add_header(header)?;
        }
        Ok(request)
    }

    /// The same request from another client.
    pub fn from(mut self, client: Client<'_>) -> Result<Request, String> {
        if let Some(name) = client.sni {
            if self.scheme == "http" {
                return Err("a plain request has no server name: ask with https:// or tcp://".to_owned());
            }
            self.sni = Some(name.to_ascii_lowercase()).filter(|name| !name.is_empty());
        }
        if let Some(text) = client.address {
            let address: IpAddr = text.parse().map_err(|_| format!("{text:?} is not an IP address"))?;
            self.client = Some(address.to_canonical());
        }
        Ok(self)
    }

    fn add_header(&mut self, header: &str) -> Result<(), String> {
        let wrong = |why: &str| format!("-H {header:?}: {why}");
        let (name, value) = header.split_once(':').ok_or_else(|| wrong("expected 'name: value'"))?;
        let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| wrong("not a header name"))?;
        let value = HeaderValue::from_str(value.trim()).map_err(|_| wrong("not a header value"))?;
        if name == http::header::HOST {
            self.authority = value.to_str().map_err(|_| wrong("not a host"))?.to_owned();
        } else {
            self.headers.append(name, value);
        }
        Ok(())
    }

    /// What the routing model asks for.
    pub fn view(&self) -> RequestView<'_> {
        RequestView {
            method: &self.method,
            scheme: &self.scheme,
            authority: &self.authority,
            // A CONNECT has none.
            path: if self.method == "CONNECT" { "" } else { &self.path },
            query: self.query.as_deref(),
            headers: &self.headers,
        }
    }
}

/// Who asks, where the URL does not say it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Client<'a> {
    /// Server name; empty = none.
    pub sni: Option<&'a str>,
    /// IP address.
    pub address: Option<&'a str>,
}

/// Clients send names, never addresses (RFC 6066, section 3).
fn sni(host: &str) -> Option<String> {
    let address = host.starts_with('[') || host.parse::<std::net::IpAddr>().is_ok();
    (!address).then(|| host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str, headers: &[&str]) -> Result<Request, String> {
        let headers: Vec<String> = headers.iter().map(|header| (*header).to_owned()).collect();
        Request::parse("GET", url, &headers)
    }

    #[test]
    fn the_port_is_part_of_the_host_unless_it_is_the_default() {
        for (url, host, port) in [
            ("http://shop.example.com/a", "shop.example.com", 80),
            ("http://shop.example.com:80/a", "shop.example.com", 80),
            ("http://shop.example.com:8080", "shop.example.com:8080", 8080),
            ("https://shop.example.com", "shop.example.com", 443),
            ("https://shop.example.com:80", "shop.example.com:80", 80),
            ("shop.example.com/a", "shop.example.com", 80),
            ("http://[::1]:8080/", "[::1]:8080", 8080),
        ] {
            let request = parse(url, &[]).unwrap();
            assert_eq!((request.authority.as_str(), request.port), (host, port), "{url}");
        }
    }

    #[test]
    fn names_are_sent_as_sni_and_addresses_are_not() {
        assert_eq!(
            parse("https://Shop.Example.com:8443/", &[]).unwrap().sni.as_deref(),
            Some("shop.example.com")
        );
        for url in ["https://127.0.0.1/", "https://[::1]:8443/", "http://shop.example.com/"] {
            assert_eq!(parse(url, &[]).unwrap().sni, None, "{url}");
        }
    }

    #[test]
    fn a_host_header_replaces_the_host_and_keeps_the_address() {
        let request =
            parse("http://127.0.0.1:8080/a?b=c", &["Host: shop.example.com", "X-A: 1", "x-a: 2"]).unwrap();
        assert_eq!((request.authority.as_str(), request.port), ("shop.example.com", 8080));
        assert_eq!((request.path.as_str(), request.query.as_deref()), ("/a", Some("b=c")));
        assert_eq!(request.headers.get_all("x-a").iter().count(), 2);
        assert!(!request.headers.contains_key("host"));
    }

    #[test]
    fn a_connect_has_a_port_and_no_path() {
        let request = Request::parse("CONNECT", "http://a.test:80/x", &[]).unwrap();
        assert_eq!((request.authority.as_str(), request.view().path), ("a.test:80", ""));
    }

    #[test]
    fn a_client_has_a_server_name_and_an_address_of_its_own() {
        let from = |url: &str, sni, address| parse(url, &[]).unwrap().from(Client { sni, address });
        let request = from("https://127.0.0.1/", Some("Shop.Test"), Some("::ffff:10.0.0.1")).unwrap();
        assert_eq!(request.sni.as_deref(), Some("shop.test"));
        assert_eq!(request.client, Some("10.0.0.1".parse().unwrap()));
        assert_eq!(from("https://a.test/", Some(""), None).unwrap().sni, None);
        let tcp = from("tcp://127.0.0.1:5432", None, None).unwrap();
        assert_eq!((tcp.port, tcp.sni), (5432, None));
        assert!(from("http://a.test/", Some("b"), None).unwrap_err().contains("https"));
        assert!(from("http://a.test/", None, Some("b")).unwrap_err().contains("IP"));
    }

    #[test]
    fn mistakes_are_named() {
        for (url, headers, word) in [
            ("ftp://x/", vec![], "ftp"),
            ("http://a b/", vec![], "URL"),
            ("http://ann@x/", vec![], "user"),
            ("http://x/", vec!["no colon"], "name: value"),
            ("http://x/", vec!["a b: c"], "header name"),
            ("tcp://x", vec![], "port"),
        ] {
            let error = parse(url, &headers).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
        assert!(Request::parse("GE T", "http://x/", &[]).unwrap_err().contains("method"));
    }
}
