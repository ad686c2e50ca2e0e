//! HTTP/2 as bytes, for clients that do not keep to it.

use std::net::SocketAddr;
use std::time::Duration;

use portcullis_tests::wait::PATIENCE;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RESET: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;

/// A frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A field that is not put into the table (RFC 7541 6.2.2), shorter than 127 bytes each part.
pub fn literal(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    [vec![0], text(name), text(value)].concat()
}

/// The fields of a request; the method is GET, or POST.
pub fn fields(post: bool, path: &str) -> Vec<u8> {
    let method: u8 = if post { 0x83 } else { 0x82 };
    [vec![method, 0x86], literal(":path", path), literal(":authority", "a.test")].concat()
}

/// A whole request without a body.
pub fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &fields(false, path))
}

/// RST_STREAM with CANCEL.
pub fn reset(stream: u32) -> Vec<u8> {
    frame(RESET, 0, stream, &8_u32.to_be_bytes())
}

/// A connection whose preface is said; the client's streams may be sent `window` bytes each. With `still` its receive
/// buffer is as small as the system allows, so that it does not take what it does not read.
pub async fn connect(address: SocketAddr, window: u32, still: bool) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    if still {
        socket.set_recv_buffer_size(1024).unwrap();
    }
    let mut stream = socket.connect(address).await.unwrap();
    let initial = [&[0, 4][..], &window.to_be_bytes()].concat();
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &initial)].concat()).await.unwrap();
    stream
}

/// Sends pieces until the gateway ends the connection, but no more than `most`; reads and forgets what comes. How many
/// went out, if it was ended.
pub async fn flood(stream: TcpStream, most: usize, mut piece: impl FnMut(usize) -> Vec<u8>) -> Option<usize> {
    let (mut reading, mut writing) = stream.into_split();
    let ended = async {
        let mut buf = vec![0; 1 << 16];
        while matches!(reading.read(&mut buf).await, Ok(1..)) {}
    };
    let mut sent = 0;
    let sending = async {
        while sent < most && writing.write_all(&piece(sent)).await.is_ok() {
            sent += 1;
        }
        // The end may be on its way.
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    tokio::select! {
        () = ended => Some(sent),
        () = sending => None,
    }
}

/// Reads until the connection ends.
pub async fn until_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    // A reset is an end.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut all)).await.expect("the connection ends");
    all
}
