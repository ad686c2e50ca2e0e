//! Secrets of SDS servers: fetched over Envoy's SecretDiscoveryService, one stream for each secret, for as long as they are
//! wanted.
//!
//! A server that cannot be reached changes nothing: what it sent last stays in use, and it is tried again. Material that
//! cannot be used is refused with a reason that the server gets too. Must not log what comes, nor keep it: it goes to the
//! ring.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use portcullis_proto::envoy::config::core::v3::{self as core, data_source::Specifier};
use portcullis_proto::envoy::extensions::transport_sockets::tls::v3 as tls;
use portcullis_proto::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use portcullis_proto::envoy::service::secret::v3::secret_discovery_service_client::SecretDiscoveryServiceClient;
use portcullis_proto::google::rpc;
use portcullis_shared::actor::Backoff;
use portcullis_shared::sensitive::Sensitive;
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Streaming};

use super::material::{Material, Parts, Unusable};
use crate::ir::{CertificateSource, Sds, SdsToken};

/// What came of one source.
pub(super) type Reading = (CertificateSource, Result<Material, Unusable>);

/// How long a connect may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How often a silent connection is looked at.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Readings that wait to be taken up; a stream that finds the queue full waits.
const QUEUE: usize = 16;
/// Requests on a stream that wait to be sent; there is one for each answer.
const REQUESTS: usize = 4;
/// How the servers name what is asked for.
const SECRET: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
/// gRPC's INVALID_ARGUMENT.
const INVALID_ARGUMENT: i32 = 3;

/// A task for each source of an SDS server that is wanted.
pub(super) struct Followers {
    tasks: BTreeMap<CertificateSource, AbortOnDropHandle<()>>,
    found: mpsc::Sender<Reading>,
    readings: mpsc::Receiver<Reading>,
}

impl Default for Followers {
    fn default() -> Self {
        let (found, readings) = mpsc::channel(QUEUE);
        Self { tasks: BTreeMap::new(), found, readings }
    }
}

impl Followers {
    /// Follows exactly the SDS sources of `wanted` from now on.
    pub(super) fn want(&mut self, wanted: &BTreeSet<CertificateSource>) {
        self.tasks.retain(|source, _| wanted.contains(source));
        for source in wanted {
            if let CertificateSource::Sds(sds) = source {
                self.tasks.entry(source.clone()).or_insert_with(|| {
                    let follow = follow(source.clone(), Arc::clone(sds), self.found.clone());
                    AbortOnDropHandle::new(tokio::spawn(follow))
                });
            }
        }
    }

    /// The next reading.
    pub(super) async fn next(&mut self) -> Option<Reading> {
        self.readings.recv().await
    }

    /// Another one that is here already.
    pub(super) fn another(&mut self) -> Option<Reading> {
        self.readings.try_recv().ok()
    }
}

/// What a server has sent of one source.
#[derive(Default)]
struct Sent {
    certificate: Option<tls::TlsCertificate>,
    validation: Option<tls::CertificateValidationContext>,
}

async fn follow(source: CertificateSource, sds: Arc<Sds>, found: mpsc::Sender<Reading>) {
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
    loop {
        let mut heard = false;
        let reason = match session(&source, &sds, &found, &mut heard).await {
            // Nobody takes readings any more.
            Ok(()) => return,
            Err(reason) => reason,
        };
        tracing::warn!(server = %sds.server, reason, "the SDS server is away; what it sent last stays in use");
        if heard {
            backoff.reset();
        }
        tokio::time::sleep(backoff.next()).await;
    }
}

/// One connection, until it ends; the error says why.
async fn session(
    source: &CertificateSource,
    sds: &Sds,
    found: &mpsc::Sender<Reading>,
    heard: &mut bool,
) -> Result<(), String> {
    let channel = connect(&sds.server).await?;
    let mut certificates = Watched::open(&channel, sds.certificates.as_deref(), sds).await?;
    let mut validation = Watched::open(&channel, sds.validation.as_deref(), sds).await?;
    let mut sent = Sent::default();
    loop {
        let (stream, answer) = tokio::select! {
            answer = Watched::next(&mut certificates) => (&mut certificates, answer?),
            answer = Watched::next(&mut validation) => (&mut validation, answer?),
        };
        let Some(stream) = stream else { continue };
        *heard = true;
        let outcome = match stream.take(&answer, &mut sent) {
            Err(problem) => Some(Err(problem)),
            // A part is still to come.
            Ok(()) if lacks(sds, &sent) => None,
            Ok(()) => Some(material(source, &sent)),
        };
        stream.confirm(&answer, outcome.as_ref().and_then(|outcome| outcome.as_ref().err())).await;
        if let Some(outcome) = outcome
            && found.send((source.clone(), outcome)).await.is_err()
        {
            return Ok(());
        }
    }
}

fn lacks(sds: &Sds, sent: &Sent) -> bool {
    (sds.certificates.is_some() && sent.certificate.is_none())
        || (sds.validation.is_some() && sent.validation.is_none())
}

/// A host and port, a `unix:` path, or either in the notation of gRPC.
async fn connect(server: &str) -> Result<Channel, String> {
    let place = server.strip_prefix("dns:///").or_else(|| server.strip_prefix("dns:")).unwrap_or(server);
    let uri = match place.starts_with("unix:") || place.contains("://") {
        true => place.to_owned(),
        false => format!("http://{place}"),
    };
    let endpoint = Endpoint::from_shared(uri).map_err(|error| error.to_string())?;
    let endpoint = endpoint
        .connect_timeout(CONNECT)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true);
    let limited = tokio::time::timeout(2 * CONNECT, endpoint.connect());
    limited.await.map_err(|_| "no connection in time".to_owned())?.map_err(|error| cause(&error))
}

/// The innermost error says what happened.
fn cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// The stream of one secret.
struct Watched {
    name: String,
    requests: mpsc::Sender<DiscoveryRequest>,
    answers: Streaming<DiscoveryResponse>,
    /// Version of the last answer that was taken.
    taken: String,
}

impl Watched {
    async fn open(channel: &Channel, name: Option<&str>, sds: &Sds) -> Result<Option<Self>, String> {
        let Some(name) = name else { return Ok(None) };
        let (requests, queue) = mpsc::channel(REQUESTS);
        let mut request = Request::new(ReceiverStream::new(queue));
        if let Some(token) = &sds.token {
            let (header, value) = credentials(token)?;
            request.metadata_mut().insert(header, value);
        }
        let first = DiscoveryRequest {
            node: Some(core::Node { id: "portcullis".to_owned(), cluster: "portcullis".to_owned() }),
            ..asked(name)
        };
        // There is room for it.
        let _ = requests.send(first).await;
        let mut client = SecretDiscoveryServiceClient::new(channel.clone());
        let answers = client.stream_secrets(request).await.map_err(|status| told(&status))?;
        Ok(Some(Self {
            name: name.to_owned(),
            requests,
            answers: answers.into_inner(),
            taken: String::new(),
        }))
    }

    /// The next answer; never, where nothing is watched.
    async fn next(watched: &mut Option<Self>) -> Result<DiscoveryResponse, String> {
        let Some(watched) = watched else { return std::future::pending().await };
        match watched.answers.message().await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err("the server ended the stream".to_owned()),
            Err(status) => Err(told(&status)),
        }
    }

    /// Puts what the answer says about the secret into `sent`. One that says nothing about it changes nothing.
    fn take(&self, answer: &DiscoveryResponse, sent: &mut Sent) -> Result<(), Unusable> {
        for resource in &answer.resources {
            let invalid = || Unusable::Invalid("the SDS server sent something that is no secret".to_owned());
            let secret = tls::Secret::decode(&*resource.value).map_err(|_| invalid())?;
            if secret.name != self.name {
                continue;
            }
            match secret.r#type {
                Some(tls::secret::Type::TlsCertificate(certificate)) => sent.certificate = Some(certificate),
                Some(tls::secret::Type::ValidationContext(context)) => sent.validation = Some(context),
                None => return Err(invalid()),
            }
        }
        Ok(())
    }

    /// Tells the server whether its answer was taken.
    async fn confirm(&mut self, answer: &DiscoveryResponse, problem: Option<&Unusable>) {
        if problem.is_none() {
            self.taken.clone_from(&answer.version_info);
        }
        let request = DiscoveryRequest {
            version_info: self.taken.clone(),
            response_nonce: answer.nonce.clone(),
            error_detail: problem
                .map(|problem| rpc::Status { code: INVALID_ARGUMENT, message: problem.to_string() }),
            ..asked(&self.name)
        };
        // A stream that is over shows on its other side.
        let _ = self.requests.send(request).await;
    }
}

fn asked(name: &str) -> DiscoveryRequest {
    DiscoveryRequest {
        resource_names: vec![name.to_owned()],
        type_url: SECRET.to_owned(),
        ..DiscoveryRequest::default()
    }
}

/// A status without the details that a server may have put there.
fn told(status: &tonic::Status) -> String {
    format!("{}: {}", status.code(), status.message())
}

/// What the server wants to know of us. The file is read anew for each stream: tokens are renewed.
fn credentials(token: &SdsToken) -> Result<(AsciiMetadataKey, AsciiMetadataValue), String> {
    let failed = |what: &dyn std::fmt::Display| format!("token file {}: {what}", token.file);
    let content = std::fs::read_to_string(&*token.file).map(Sensitive::new).map_err(|e| failed(&e))?;
    let value = AsciiMetadataValue::try_from(content.expose().trim());
    let mut value = value.map_err(|_| failed(&"its content is no header value"))?;
    value.set_sensitive(true);
    let header = token.header.parse().map_err(|_| format!("[{}] is no header name", token.header))?;
    Ok((header, value))
}

fn material(source: &CertificateSource, sent: &Sent) -> Result<Material, Unusable> {
    let certificate = sent.certificate.as_ref();
    Material::parse(
        source.name(),
        Parts {
            cert: certificate.and_then(|it| inline(it.certificate_chain.as_ref())),
            key: certificate.and_then(|it| inline(it.private_key.as_ref())),
            ca: sent.validation.as_ref().and_then(|it| inline(it.trusted_ca.as_ref())),
            ocsp: certificate.and_then(|it| inline(it.ocsp_staple.as_ref())),
        },
    )
}

/// Content that stands in the message. Files and variables are those of another machine.
fn inline(data: Option<&core::DataSource>) -> Option<&[u8]> {
    match data?.specifier.as_ref()? {
        Specifier::InlineBytes(bytes) => Some(bytes),
        Specifier::InlineString(text) => Some(text.as_bytes()),
    }
}
