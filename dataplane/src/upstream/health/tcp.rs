//! A connection, or bytes to send and bytes to find in what comes back.

use memchr::memmem;
use portcullis_shared::table::TcpCheck;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::probe::{Dialer, Failure, Io};

/// More than this is no answer to a check.
const LONGEST: usize = 64 * 1024;

pub(super) async fn ask(
    check: &TcpCheck,
    dialer: &Dialer<'_>,
    kept: &mut Option<Box<dyn Io>>,
) -> Result<(), Failure> {
    // To be connected is the whole test where nothing is to come back.
    let mut io = match kept.take().filter(|_| !check.receive.is_empty()) {
        Some(io) => io,
        None => dialer.connect().await?.0,
    };
    if !check.send.is_empty() {
        io.write_all(&check.send).await?;
        io.flush().await?;
    }
    let mut come = Vec::new();
    while !has_all(&come, check) {
        if come.len() > LONGEST || io.read_buf(&mut come).await? == 0 {
            return Err(Failure::Network);
        }
    }
    *kept = Some(io);
    Ok(())
}

/// All pieces are there, in their order.
fn has_all(mut come: &[u8], check: &TcpCheck) -> bool {
    check.receive.iter().all(|piece| match memmem::find(come, piece) {
        Some(at) => {
            come = come.get(at + piece.len()..).unwrap_or_default();
            true
        }
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_found_in_order_with_anything_between_them() {
        let check = TcpCheck { send: "".into(), receive: vec!["ab".into(), "bc".into()] };
        assert!(has_all(b"xab--bcx", &check));
        assert!(!has_all(b"abc", &check), "not overlapping");
        assert!(!has_all(b"bcab", &check));
        assert!(has_all(b"", &TcpCheck { send: "".into(), receive: vec![] }));
    }
}
