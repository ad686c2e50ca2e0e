//! Private keys are nowhere but in the files that users wrote and in the memory of the processes that need them.

use std::path::Path;

use portcullis_tests::backend::upstream;
use portcullis_tests::client::{self, Tls};
use portcullis_tests::gateway::{Gateway, portcullis};
use portcullis_tests::pki::{Ca, Pair};
use portcullis_tests::wait::until;
use rustls::pki_types::PrivateKeyDer;

use crate::{forward, two_versions, virtual_service};

/// Forms in which a key could show: lines of the PEM, the PEM in base64 as in a Kubernetes Secret, bytes of the key
/// itself raw, in hexadecimal and as Rust prints them.
struct Needles(Vec<(String, Vec<u8>)>);

impl Needles {
    fn of(what: &str, pair: &Pair) -> Self {
        let (_, key) = pair.rustls();
        let PrivateKeyDer::Pkcs8(key) = &key else { panic!("keys of tests are PKCS #8") };
        let der = key.secret_pkcs8_der();
        // Of an elliptic key: the private number stands in bytes 36 to 68 of this form.
        let number = &der[36..60];
        let hex: String = number.iter().map(|byte| format!("{byte:02x}")).collect();
        let debug: Vec<String> = number.iter().map(u8::to_string).collect();
        let mut forms = vec![
            ("raw", number.to_vec()),
            ("hexadecimal", hex.clone().into_bytes()),
            ("upper-case hexadecimal", hex.to_uppercase().into_bytes()),
            ("debug", debug.join(", ").into_bytes()),
        ];
        // Base64 looks different at each of three offsets.
        let pem = pair.key.as_bytes();
        for offset in 0..3 {
            let text = base64(&pem[40 + offset..100 + offset]);
            forms.push(("base64 of the PEM", text.as_bytes()[4..70].to_vec()));
        }
        // The private number in the PEM: the rest of it is the same for all keys, or public.
        let mut lines = pair.key.lines().filter(|line| !line.starts_with('-'));
        forms.push(("a line of the PEM", lines.next().unwrap().as_bytes()[48..].to_vec()));
        forms.push(("a line of the PEM", lines.next().unwrap().as_bytes()[..24].to_vec()));
        Self(forms.into_iter().map(|(form, bytes)| (format!("{what}, {form}"), bytes)).collect())
    }

    fn look(&self, place: &str, bytes: &[u8]) {
        for (what, needle) in &self.0 {
            let found = bytes.windows(needle.len()).any(|window| window == needle);
            assert!(!found, "{what} is in {place}");
        }
    }

    fn look_into(&self, folder: &Path, except: &[&str]) -> usize {
        let mut files = 0;
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            // Sockets cannot be read.
            if path.is_dir() {
                files += self.look_into(&path, except);
            } else if let Ok(bytes) = std::fs::read(&path)
                && !except.iter().any(|name| path.ends_with(name))
            {
                self.look(&path.display().to_string(), &bytes);
                files += 1;
            }
        }
        files
    }
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let number = group.iter().fold(0_usize, |number, byte| number << 8 | usize::from(*byte))
            << (8 * (3 - group.len()));
        for place in 0..4 {
            let fits = place <= group.len();
            text.push(if fits { char::from(ALPHABET[number >> (18 - 6 * place) & 63]) } else { '=' });
        }
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn private_keys_are_in_no_log_dump_answer_or_folder() {
    assert_eq!(base64(b"Man Ma"), "TWFuIE1h");
    let mut gateway = Gateway::new();
    let _upstreams = two_versions(&gateway).await;
    let ca = Ca::new("secrecy");
    let (server, own, broken) = (ca.issue(&["s.test"]), ca.issue(&["client"]), ca.issue(&["broken"]));
    gateway.write("server.yaml", &server.secret("s", None));
    gateway.write("client.yaml", &own.secret("client", Some(&ca)));
    // Keys in the wrong form or place, so that somebody complains about them.
    let cut = broken.key.replace("-----END", "=====END");
    let mistaken = Pair { certificate: broken.certificate.clone(), key: cut };
    gateway.write("cut.yaml", &mistaken.secret("cut", None));
    gateway.write("data.yaml", &broken.secret("data", None).replace("stringData:", "data:"));
    for (name, secret) in [("s", "s"), ("cut", "cut"), ("data", "data")] {
        let ssl = format!(
            "spec:\n  sslConfig: {{secretRef: {{name: {secret}, namespace: gloo-system}}, sniDomains: [{name}.test]}}\n"
        );
        let host = virtual_service(name, &format!("['{name}.test']"), &forward("/", "v1"));
        gateway.write(&format!("{name}-vs.yaml"), &host.replace("spec:\n", &ssl));
    }
    let ssl = "  sslConfig: {secretRef: {name: client, namespace: gloo-system}, sni: x.test}\n";
    gateway.write("tls-us.yaml", &upstream("t", "127.0.0.1:1".parse().unwrap(), ssl));
    gateway.write("t-vs.yaml", &virtual_service("t", "['t.test']", &forward("/", "t")));
    // As much as the processes can be made to say.
    gateway.start_again(&[("RUST_LOG", "trace".to_owned())]).await;
    let tls = Tls::trusting(&ca);
    until("TLS", async || tls.get(gateway.https(), "s.test", "/").await.ok()).await;
    let _ = client::request(gateway.http(), "GET", "t.test", "/", &[], "").await;
    let _ = tls.get(gateway.https(), "cut.test", "/").await;
    until("the cache", async || gateway.log().contains("the table is in the cache").then_some(())).await;

    let needles = Needles(
        [("the server's key", &server), ("the client's key", &own), ("the broken key", &broken)]
            .iter()
            .flat_map(|(what, pair)| Needles::of(what, pair).0)
            .collect(),
    );
    for index in 0..=gateway.workers {
        for path in ["/metrics", "/readyz?verbose", "/healthz", "/endpoints", "/", "/debug", "/table"] {
            let answer = client::get(gateway.admin(index), path).await.unwrap();
            needles.look(&format!("{} of {}", path, gateway.admin(index)), &answer.body);
        }
    }
    for command in [
        &["get", "all"][..],
        &["get", "all", "-o", "wide"],
        &["get", "all", "-o", "yaml"],
        &["get", "all", "-o", "json"],
        &["get", "us", "t", "-o", "yaml"],
        &["explain", "GET", "https://s.test/"],
        &["explain", "GET", "http://t.test/", "-o", "json"],
        &["check", "-f", gateway.config.path().to_str().unwrap()],
        &["check", "-f", gateway.config.path().to_str().unwrap(), "-o", "json"],
    ] {
        let output = portcullis(command, gateway.admin(0)).await;
        let said: Vec<u8> = [output.stdout, output.stderr].concat();
        assert!(!said.is_empty(), "{command:?} says nothing");
        needles.look(&format!("the answer to {command:?}"), &said);
    }
    for program in ["portcullis-control", "portcullis-dataplane"] {
        for pid in gateway.children(program) {
            for file in ["cmdline", "environ"] {
                needles.look(file, &std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default());
            }
            let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
            let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
            assert_eq!(core.split_whitespace().nth(4), Some("0"), "{program} leaves no core dumps: {core}");
        }
    }
    assert_eq!(gateway.stop("TERM").await, Some(0));
    needles.look("the log", gateway.log().as_bytes());
    assert!(
        gateway.log().contains("\"TRACE\"") || gateway.log().contains("TRACE"),
        "the log says everything"
    );
    let files = needles.look_into(gateway.data.path(), &["aside"]);
    assert!(files > 3, "there is state to look into");
}
