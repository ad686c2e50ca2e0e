use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use tempfile::TempDir;
use tokio_stream::StreamExt;
use tonic::transport::server::Connected;

use super::*;

struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue(&self, dir: &Path, name: &str, uri: Option<&str>) -> TlsFiles {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["control.test".to_owned()]).unwrap();
        if let Some(uri) = uri {
            params.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
        }
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let file = |suffix: &str, text: String| -> PathBuf {
            let path = dir.join(format!("{name}.{suffix}"));
            std::fs::write(&path, text).unwrap();
            path
        };
        TlsFiles {
            certificate: file("crt", certificate.pem()),
            key: file("key", key.serialize_pem()),
            ca: file("ca", self.0.pem()),
        }
    }
}

#[tokio::test]
async fn a_unix_peer_is_named_by_the_kernel_and_a_live_socket_is_not_taken_over() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("link.sock");
    let mut incoming = listen(&Bind::Unix(path.clone())).await.unwrap();
    let client = tokio::net::UnixStream::connect(&path).await.unwrap();
    let accepted = incoming.next().await.unwrap().unwrap();
    let PeerIdentity::Local { pid, .. } = accepted.connect_info() else { panic!("not local") };
    assert_eq!(pid, Some(std::process::id() as i32));
    drop(client);

    let refused = listen(&Bind::Unix(path.clone())).await.err().unwrap();
    assert!(matches!(refused, TransportError::InUse { .. }), "{refused}");

    drop(incoming);
    // What a killed process leaves behind is no obstacle.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    listen(&Bind::Unix(path.clone())).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_not_a_socket_is_never_removed() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("precious");
    std::fs::write(&path, "data").unwrap();
    assert!(listen(&Bind::Unix(path.clone())).await.is_err());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "data");
}

#[tokio::test]
async fn mutual_tls_names_the_worker_by_its_certificate() {
    let dir = TempDir::new().unwrap();
    let ca = Ca::new();
    let server = ca.issue(dir.path(), "server", None);
    let bind = Bind::Tls { address: "127.0.0.1:0".parse().unwrap(), files: server };
    let mut incoming = listen(&bind).await.unwrap();
    let address = incoming.local_addr.unwrap().to_string();
    let target = |files| Target::Tls { address: address.clone(), server_name: "control.test".into(), files };

    let worker = target(ca.issue(dir.path(), "worker", Some("spiffe://example.org/proxy/gateway-proxy")));
    let connecting = tokio::spawn(async move { connect(&worker).await });
    let accepted = incoming.next().await.unwrap().unwrap();
    assert!(accepted.connect_info().may_be("gateway-proxy"));
    assert!(!accepted.connect_info().may_be("other"));
    connecting.abort();

    // A certificate of another CA, and one without a name, never get through to the server.
    for files in [
        Ca::new().issue(dir.path(), "foreign", Some("spiffe://example.org/proxy/gateway-proxy")),
        ca.issue(dir.path(), "nameless", None),
    ] {
        let target = target(files);
        let _ = connect(&target).await;
    }
    let good = target(ca.issue(dir.path(), "second", Some("spiffe://example.org/proxy/second")));
    let connecting = tokio::spawn(async move { connect(&good).await });
    let accepted = incoming.next().await.unwrap().unwrap();
    assert!(accepted.connect_info().may_be("second"), "{}", accepted.connect_info());
    connecting.abort();
}
