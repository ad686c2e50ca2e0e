use super::*;
use std::io::{Read, Write};

fn manner() -> Arc<Manner> {
    Arc::new(Manner { name: "v1".into(), status: http::StatusCode::IM_A_TEAPOT, delay: Duration::ZERO })
}

/// Starts the app on a free port of a runtime of its own, sends raw bytes, returns everything that comes back.
fn exchange(request: &'static str) -> String {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let service = app(manner()).into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(tcp, service).await });
        tokio::task::spawn_blocking(move || {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        })
        .await
        .unwrap()
    })
}

#[test]
fn says_what_it_saw() {
    let answer = exchange(
        "POST /a%20b?x=1 HTTP/1.1\r\nHost: shop.example.com\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 5\r\n\
         Connection: close\r\n\r\nhello",
    );
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 418"), "{head}");
    let seen: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(seen["name"], "v1");
    assert_eq!(seen["method"], "POST");
    assert_eq!(seen["path"], "/a%20b");
    assert_eq!(seen["query"], "x=1");
    assert_eq!(seen["host"], "shop.example.com");
    assert_eq!(seen["protocol"], "HTTP/1.1");
    assert_eq!(seen["headers"]["x-a"], "1, 2");
    assert_eq!(seen["body_bytes"], 5);
    assert!(seen["client"].as_str().unwrap().starts_with("127.0.0.1:"));
}

#[test]
fn is_healthy_whatever_its_status_is() {
    assert!(
        exchange("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").starts_with("HTTP/1.1 200")
    );
}
