//! The listening side.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_stream::Stream as AsyncStream;

use super::TransportError;
use super::identity::PeerIdentity;
use super::io::{Io, Stream};
use super::tls::TlsFiles;

/// How long a peer may take for its TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Connections that are accepted but not yet taken up, and handshakes under way.
const PENDING: usize = 64;

/// Where to listen.
#[derive(Clone, Debug)]
pub enum Bind {
    /// A unix socket, mode 0660. Peers must run as root, as our user or in our group.
    Unix(PathBuf),
    /// TCP with mutual TLS.
    Tls {
        /// Address to bind.
        address: SocketAddr,
        /// Our files.
        files: TlsFiles,
    },
}

/// Accepted and identified connections. Dropping it stops listening and removes the unix socket.
pub struct Incoming {
    connections: mpsc::Receiver<io::Result<Io>>,
    accepting: JoinHandle<()>,
    /// The bound TCP address, for port 0.
    pub local_addr: Option<SocketAddr>,
    socket: Option<PathBuf>,
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.accepting.abort();
        if let Some(path) = &self.socket {
            // Only tidiness: a socket that is left behind is taken over at the next start.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl AsyncStream for Incoming {
    type Item = io::Result<Io>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.connections.poll_recv(cx)
    }
}

/// Binds and starts accepting.
///
/// # Errors
/// The address cannot be bound, another process serves the socket, or a TLS file is broken.
pub async fn listen(bind: &Bind) -> Result<Incoming, TransportError> {
    let (found, connections) = mpsc::channel(PENDING);
    match bind {
        Bind::Unix(path) => {
            let listener = bind_unix(path).await?;
            let own = std::fs::metadata(path).map_err(|e| listen_error(path.display(), e))?;
            let (uid, gid) = (own.uid(), own.gid());
            let accepting = tokio::spawn(accept_unix(listener, uid, gid, found));
            Ok(Incoming { connections, accepting, local_addr: None, socket: Some(path.clone()) })
        }
        Bind::Tls { address, files } => {
            files.server()?;
            let listener = TcpListener::bind(address).await.map_err(|e| listen_error(address, e))?;
            let local_addr = listener.local_addr().ok();
            let accepting = tokio::spawn(accept_tls(listener, files.clone(), found));
            Ok(Incoming { connections, accepting, local_addr, socket: None })
        }
    }
}

fn listen_error(address: impl std::fmt::Display, source: io::Error) -> TransportError {
    TransportError::Listen { address: address.to_string(), source }
}

async fn bind_unix(path: &Path) -> Result<UnixListener, TransportError> {
    if let Ok(metadata) = std::fs::symlink_metadata(path) {
        if !metadata.file_type().is_socket() {
            let source = io::Error::new(io::ErrorKind::AlreadyExists, "the file exists and is not a socket");
            return Err(listen_error(path.display(), source));
        }
        if UnixStream::connect(path).await.is_ok() {
            return Err(TransportError::InUse { path: path.to_owned() });
        }
        std::fs::remove_file(path).map_err(|e| listen_error(path.display(), e))?;
    }
    let listener = UnixListener::bind(path).map_err(|e| listen_error(path.display(), e))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))
        .map_err(|e| listen_error(path.display(), e))?;
    Ok(listener)
}

async fn accept_unix(listener: UnixListener, uid: u32, gid: u32, found: mpsc::Sender<io::Result<Io>>) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                accept_failed(&error).await;
                continue;
            }
        };
        let peer = match stream.peer_cred() {
            Ok(cred) if cred.uid() == 0 || cred.uid() == uid || cred.gid() == gid => {
                PeerIdentity::Local { uid: cred.uid(), gid: cred.gid(), pid: cred.pid() }
            }
            Ok(cred) => {
                tracing::warn!(
                    uid = cred.uid(),
                    gid = cred.gid(),
                    "refused a link connection of a foreign user"
                );
                continue;
            }
            Err(error) => {
                tracing::warn!(%error, "refused a link connection without credentials");
                continue;
            }
        };
        if found.send(Ok(Io { stream: Stream::Unix(stream), peer })).await.is_err() {
            return;
        }
    }
}

async fn accept_tls(listener: TcpListener, files: TlsFiles, found: mpsc::Sender<io::Result<Io>>) {
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                accept_failed(&error).await;
                continue;
            }
        };
        // A permit per handshake: what does not fit waits in the kernel's backlog.
        let Ok(permit) = found.clone().reserve_owned().await else { return };
        let files = files.clone();
        tokio::spawn(async move {
            match tokio::time::timeout(HANDSHAKE, handshake(stream, &files)).await {
                Ok(Ok(io)) => {
                    permit.send(Ok(io));
                }
                Ok(Err(reason)) => tracing::warn!(%address, reason, "refused a link connection"),
                Err(_) => tracing::warn!(%address, "refused a link connection: the handshake took too long"),
            }
        });
    }
}

async fn handshake(stream: TcpStream, files: &TlsFiles) -> Result<Io, String> {
    stream.set_nodelay(true).map_err(|e| e.to_string())?;
    let config = files.server().map_err(|e| e.to_string())?;
    let stream = TlsAcceptor::from(config).accept(stream).await.map_err(|e| e.to_string())?;
    let (_, session) = stream.get_ref();
    let peer = session
        .peer_certificates()
        .and_then(|chain| chain.first())
        .and_then(|leaf| PeerIdentity::of_certificate(leaf))
        .ok_or("the certificate has no URI name of the form spiffe://<trust domain>/proxy/<proxy name>")?;
    Ok(Io { stream: Stream::Tls(Box::new(stream)), peer })
}

/// Out of file descriptors, most likely: give the rest of the process time to close some.
async fn accept_failed(error: &io::Error) {
    tracing::warn!(%error, "cannot accept a link connection");
    tokio::time::sleep(Duration::from_millis(100)).await;
}
