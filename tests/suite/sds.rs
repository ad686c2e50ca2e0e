//! Certificates that an SDS server hands out: served, rotated, and kept while the server is away.

use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt as _};
use portcullis_proto::envoy::config::core::v3::{DataSource, data_source::Specifier};
use portcullis_proto::envoy::extensions::transport_sockets::tls::v3 as tls;
use portcullis_proto::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use portcullis_proto::envoy::service::secret::v3::secret_discovery_service_server as sds;
use portcullis_tests::backend;
use portcullis_tests::client::Tls;
use portcullis_tests::gateway::Gateway;
use portcullis_tests::pki::{Ca, Pair};
use portcullis_tests::wait::until;
use prost::Message as _;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio_stream::wrappers::{UnixListenerStream, WatchStream};
use tonic::{Request, Response, Status, Streaming};

use crate::{forward, two_versions, virtual_service};

/// What is handed out: a pair, a CA, and a version.
type Material = (Pair, String, u32);

struct Server {
    material: watch::Receiver<Material>,
    refused: watch::Sender<Vec<String>>,
}

fn inline(text: &str) -> Option<DataSource> {
    Some(DataSource { specifier: Some(Specifier::InlineBytes(text.as_bytes().to_vec())) })
}

#[tonic::async_trait]
impl sds::SecretDiscoveryService for Server {
    type StreamSecretsStream = Pin<Box<dyn Stream<Item = Result<DiscoveryResponse, Status>> + Send>>;

    async fn stream_secrets(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamSecretsStream>, Status> {
        if request.metadata().get("x-token").is_none_or(|token| token != "let-me-in") {
            return Err(Status::permission_denied("no token"));
        }
        let mut requests = request.into_inner();
        let first = requests.message().await?.ok_or_else(|| Status::invalid_argument("nothing asked"))?;
        let [name] = &first.resource_names[..] else { return Err(Status::invalid_argument("one name")) };
        let (name, refused) = (name.clone(), self.refused.clone());
        tokio::spawn(async move {
            while let Ok(Some(request)) = requests.message().await {
                if let Some(error) = request.error_detail {
                    refused.send_modify(|refused| refused.push(error.message));
                }
            }
        });
        let answers = WatchStream::new(self.material.clone()).map(move |(pair, ca, version)| {
            let kind = match name.as_str() {
                "server-cert" => tls::secret::Type::TlsCertificate(tls::TlsCertificate {
                    certificate_chain: inline(&pair.certificate),
                    private_key: inline(&pair.key),
                    ocsp_staple: None,
                }),
                _ => tls::secret::Type::ValidationContext(tls::CertificateValidationContext {
                    trusted_ca: inline(&ca),
                }),
            };
            let secret = tls::Secret { name: name.clone(), r#type: Some(kind) };
            Ok(DiscoveryResponse {
                version_info: version.to_string(),
                resources: vec![prost_types::Any {
                    type_url: first.type_url.clone(),
                    value: secret.encode_to_vec(),
                }],
                type_url: first.type_url.clone(),
                nonce: version.to_string(),
            })
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

#[tokio::test]
async fn certificates_come_from_an_sds_server_are_rotated_and_stay_while_it_is_away() {
    let gateway = Gateway::new();
    let _running = two_versions(&gateway).await;
    let (old, new, clients) = (Ca::new("old"), Ca::new("new"), Ca::new("clients"));
    let (hand_out, material) = watch::channel((old.issue(&["a.test", "b.test"]), clients.pem(), 1));
    let (refused, mut refusals) = watch::channel(Vec::new());
    let socket = gateway.data.path().join("sds.sock");
    let incoming = UnixListenerStream::new(UnixListener::bind(&socket).unwrap());
    let service = sds::SecretDiscoveryServiceServer::new(Server { material, refused });
    let serving =
        tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
    let token = gateway.data.path().join("token");
    std::fs::write(&token, "let-me-in\n").unwrap();
    let sds = format!(
        "targetUri: 'unix:{}', certificatesSecretName: server-cert, \
         callCredentials: {{fileCredentialSource: {{tokenFileName: {}, header: x-token}}}}",
        socket.display(),
        token.display()
    );
    let with = |name: &str, domain: &str, sds: &str| {
        virtual_service(name, &format!("[{domain}]"), &forward("/", "v1"))
            .replace("spec:\n", &format!("spec:\n  sslConfig: {{sniDomains: [{domain}], sds: {{{sds}}}}}\n"))
    };
    gateway.write("plain.yaml", &with("plain", "a.test", &sds));
    let both = format!("{sds}, validationContextName: client-ca");
    gateway.write("mutual.yaml", &with("mutual", "b.test", &both));
    let gateway = Arc::new(gateway.start().await);
    let by = async |ca: &Ca| Tls::trusting(ca).get(gateway.https(), "a.test", "/").await.ok();
    let answer = until("the old certificate", async || by(&old).await).await;
    assert_eq!(answer.status, 200);
    assert!(by(&new).await.is_none());
    // With a validation context clients have to show a certificate that it signed.
    let mutual = async |client: &Tls| client.get(gateway.https(), "b.test", "/").await.ok();
    let known = Tls::trusting(&old).identity(&clients.issue(&["client"]));
    assert_eq!(until("the client's certificate to do", async || mutual(&known).await).await.status, 200);
    assert!(mutual(&Tls::trusting(&old)).await.is_none(), "nobody without one");

    hand_out.send_modify(|material| *material = (new.issue(&["a.test", "b.test"]), clients.pem(), 2));
    until("the new certificate", async || by(&new).await).await;
    // A pair that does not fit is refused, and the last good one stays.
    let wrong = Pair { key: old.issue(&["x"]).key, ..new.issue(&["a.test", "b.test"]) };
    hand_out.send_modify(|material| *material = (wrong, clients.pem(), 3));
    refusals.wait_for(|refused| !refused.is_empty()).await.unwrap();
    assert!(refusals.borrow()[0].contains("not a valid TLS secret"), "{:?}", refusals.borrow());
    assert!(by(&new).await.is_some());

    serving.abort();
    let _ = serving.await;
    drop(hand_out);
    until("control to notice", async || gateway.log().contains("SDS server is away").then_some(())).await;
    gateway.write("more.yaml", &backend::upstream("more", gateway.http(), ""));
    assert!(by(&new).await.is_some());
    assert!(!gateway.log().contains("PRIVATE KEY"));
}
