//! The way to a running control process: its admin API over gRPC.
//!
//! Owns the connection and the sentence that a person reads when there is none. Must not interpret answers.

use super::Failure;
use portcullis_proto::admin::v1::admin_client::AdminClient;
use std::error::Error;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};

/// Messages of many thousand resources are large; the sender is our own control on this host.
const MAX_MESSAGE: usize = 256 << 20;

/// Connects to the admin address `host:port`.
pub async fn connect(admin: &str) -> Result<AdminClient<Channel>, Failure> {
    let endpoint = Endpoint::from_shared(format!("http://{admin}"))
        .map_err(|_| Failure::Usage(format!("--admin {admin} is not an address like 127.0.0.1:19000")))?
        .connect_timeout(Duration::from_secs(3))
        .timeout(Duration::from_secs(30));
    let channel = endpoint.connect().await.map_err(|error| unreachable(admin, &error))?;
    Ok(AdminClient::new(channel).max_decoding_message_size(MAX_MESSAGE))
}

/// Turns the status of a failed call into the reason that a person reads.
pub fn refused(admin: &str, status: &tonic::Status) -> Failure {
    match status.code() {
        tonic::Code::Unavailable => unreachable(admin, status),
        tonic::Code::InvalidArgument => Failure::Usage(status.message().to_owned()),
        code => Failure::Because(format!("control at {admin} answered {code:?}: {}", status.message())),
    }
}

fn unreachable(admin: &str, error: &dyn Error) -> Failure {
    Failure::Because(format!(
        "control is not reachable at {admin}: {}\n       is `portcullis up` running? --admin or PORTCULLIS_ADMIN \
         name another address",
        innermost(error)
    ))
}

/// The last cause says it best ("connection refused"); the outer ones say "transport error".
fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_the_address_and_the_cause_when_nobody_listens() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let Err(Failure::Because(reason)) = connect(&free.to_string()).await else { panic!("connected") };
        assert!(reason.contains(&free.to_string()), "{reason}");
        assert!(reason.to_lowercase().contains("refused"), "{reason}");
        assert!(reason.contains("portcullis up"), "{reason}");
    }

    #[tokio::test]
    async fn an_address_that_is_none_is_a_usage_error() {
        assert!(matches!(connect("not an address").await, Err(Failure::Usage(_))));
    }
}
