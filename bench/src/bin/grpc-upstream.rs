//! A gRPC server that answers every unary call with the message that it got: the upstream of the gRPC runs.
//!
//! `grpc-upstream LISTEN`, HTTP/2 with prior knowledge, one thread.

use std::convert::Infallible;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, server};
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::net::{TcpListener, TcpStream};

type Failed = Box<dyn std::error::Error + Send + Sync>;

async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) -> Result<(), Failed> {
    let mut body = request.into_body();
    let mut message = Vec::new();
    while let Some(part) = body.data().await {
        let part = part?;
        body.flow_control().release_capacity(part.len())?;
        message.extend_from_slice(&part);
    }
    let header = Response::builder().header("content-type", "application/grpc").body(())?;
    let mut stream = respond.send_response(header, false)?;
    stream.send_data(message.into(), false)?;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    stream.send_trailers(trailers)?;
    Ok(())
}

async fn serve(connection: TcpStream) -> Result<(), Failed> {
    connection.set_nodelay(true)?;
    let mut connection = server::Builder::new().max_concurrent_streams(1000).handshake(connection).await?;
    while let Some(next) = connection.accept().await {
        let (request, respond) = next?;
        tokio::spawn(answer(request, respond));
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<Infallible, Failed> {
    let address = std::env::args().nth(1).ok_or("usage: grpc-upstream LISTEN")?;
    let listener = TcpListener::bind(address).await?;
    loop {
        let (connection, _) = listener.accept().await?;
        // A client that breaks off is no concern of the others.
        tokio::spawn(serve(connection));
    }
}
