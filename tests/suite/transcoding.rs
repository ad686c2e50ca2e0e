//! JSON over HTTP for a gRPC server: `grpcJsonTranscoder` of an upstream and of a listener.

use std::net::SocketAddr;
use std::pin::Pin;

use base64::Engine as _;
use futures::{Stream, StreamExt};
use portcullis_tests::backend::{body, scripted, upstream};
use portcullis_tests::client;
use portcullis_tests::gateway::Gateway;
use portcullis_tests::wait::until;
use serde_json::json;
use shop::{Get, Holder, Item, Items, Upload};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, Streaming};

use crate::{forward, virtual_service};

mod google {
    #[allow(dead_code, reason = "annotations are for the descriptor")]
    pub(super) mod api {
        tonic::include_proto!("google.api");
    }
}

mod shop {
    pub(super) mod v1 {
        tonic::include_proto!("shop.v1");
    }
    pub(super) use v1::*;
}

const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/shop.bin"));

/// Answers with what it was asked.
struct Shop;

type Many<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn named(name: impl Into<String>) -> Item {
    Item { name: name.into(), ..Default::default() }
}

#[tonic::async_trait]
impl shop::shop_server::Shop for Shop {
    async fn get_item(&self, request: Request<Get>) -> Result<Response<Item>, Status> {
        let get = request.into_inner();
        match get.name.as_str() {
            "items/none" => Err(Status::not_found("no such item, not one")),
            name => Ok(Response::new(Item { count: get.depth, ..named(name) })),
        }
    }
    async fn list(&self, _: Request<Get>) -> Result<Response<Items>, Status> {
        Ok(Response::new(Items { items: vec![named("a"), named("b")], title: "t".into() }))
    }
    async fn title(&self, request: Request<Get>) -> Result<Response<Items>, Status> {
        self.list(request).await
    }
    async fn create(&self, request: Request<Item>) -> Result<Response<Item>, Status> {
        Ok(Response::new(request.into_inner()))
    }
    async fn update(&self, request: Request<Get>) -> Result<Response<Item>, Status> {
        let get = request.into_inner();
        Ok(Response::new(Item { note: Some(get.name), ..get.item.unwrap_or_default() }))
    }
    async fn cancel(&self, request: Request<Get>) -> Result<Response<Item>, Status> {
        Ok(Response::new(named(format!("cancelled {}", request.into_inner().name))))
    }
    async fn trace(&self, request: Request<Get>) -> Result<Response<Item>, Status> {
        self.get_item(request).await
    }
    type WatchStream = Many<Item>;
    async fn watch(&self, request: Request<Get>) -> Result<Response<Many<Item>>, Status> {
        let name = request.into_inner().name;
        if name == "nothing" {
            return Err(Status::not_found("nothing"));
        }
        let items = (0..3).map(move |at| Ok(named(format!("{name}{at}"))));
        let items: Many<Item> = Box::pin(futures::stream::iter(items));
        Ok(Response::new(items))
    }
    async fn collect(&self, request: Request<Streaming<Item>>) -> Result<Response<Item>, Status> {
        let names: Vec<String> = request.into_inner().map(|item| item.unwrap().name).collect().await;
        Ok(Response::new(named(names.join("+"))))
    }
    type TalkStream = Many<Item>;
    async fn talk(&self, request: Request<Streaming<Item>>) -> Result<Response<Many<Item>>, Status> {
        let answers = request.into_inner().map(|item| item.map(|item| named(format!("{}!", item.name))));
        let answers: Many<Item> = Box::pin(answers);
        Ok(Response::new(answers))
    }
    async fn page(&self, request: Request<Get>) -> Result<Response<google::api::HttpBody>, Status> {
        let data = format!("<p>{}", request.into_inner().name).into();
        Ok(Response::new(google::api::HttpBody { content_type: "text/html".into(), data }))
    }
    type PagesStream = Many<google::api::HttpBody>;
    async fn pages(&self, request: Request<Get>) -> Result<Response<Self::PagesStream>, Status> {
        let page = self.page(request).await?.into_inner();
        let pages: Many<google::api::HttpBody> =
            Box::pin(futures::stream::iter([Ok(page.clone()), Ok(page)]));
        Ok(Response::new(pages))
    }
    async fn store(&self, request: Request<Upload>) -> Result<Response<Item>, Status> {
        let upload = request.into_inner();
        let file = upload.file.unwrap_or_default();
        Ok(Response::new(Item { mark: file.data, note: Some(file.content_type), ..named(upload.name) }))
    }
    async fn raw(&self, request: Request<google::api::HttpBody>) -> Result<Response<Item>, Status> {
        Ok(Response::new(Item { mark: request.into_inner().data, ..named("raw") }))
    }
    async fn hold(&self, _: Request<Get>) -> Result<Response<Holder>, Status> {
        Ok(Response::new(Holder::default()))
    }
    async fn plain(&self, request: Request<Get>) -> Result<Response<Item>, Status> {
        self.get_item(request).await
    }
}

async fn serve(ip: std::net::Ipv4Addr) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind((ip, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = tonic::transport::Server::builder().add_service(shop::shop_server::ShopServer::new(Shop));
    tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
    address
}

/// An Upstream that is given JSON for the service, with further options.
fn transcoding(name: &str, address: SocketAddr, options: &str) -> String {
    let further = format!(
        "    serviceSpec: {{grpcJsonTranscoder: {{services: [shop.v1.Shop], {options}}}}}\n  useHttp2: true\n"
    );
    upstream(name, address, &further)
}

fn bin() -> String {
    format!("protoDescriptorBin: {}", base64::engine::general_purpose::STANDARD.encode(DESCRIPTORS))
}

async fn ask(gateway: &Gateway, method: &str, path: &str, body: &str) -> client::Answer {
    let headers = [("content-type", "application/json")];
    client::request(gateway.http(), method, "shop.test", path, &headers, body.to_owned()).await.unwrap()
}

#[tokio::test]
async fn json_reaches_a_grpc_server_and_json_comes_back() {
    let gateway = Gateway::new();
    let options = format!("{}, matchIncomingRequestRoute: true", bin());
    gateway.write("us.yaml", &transcoding("shop", serve(gateway.ip).await, &options));
    gateway.write("vs.yaml", &virtual_service("shop", "['*']", &forward("/v1", "shop")));
    let gateway = gateway.start().await;
    for (method, path, sent, status, wanted) in [
        ("GET", "/v1/items/7?depth=4", "", 200, json!({"name": "items/7", "count": 4})),
        ("GET", "/v1/items", "", 200, json!([{"name": "a"}, {"name": "b"}])),
        ("GET", "/v1/title", "", 200, json!("t")),
        (
            "POST",
            "/v1/items",
            r#"{"name":"x","itemId":"9","kind":"PEN"}"#,
            200,
            json!({"name": "x", "itemId": "9", "kind": "PEN"}),
        ),
        ("PATCH", "/v1/items/7", r#"{"count":2}"#, 200, json!({"count": 2, "note": "items/7"})),
        ("POST", "/v1/items/7:cancel", "{}", 200, json!({"name": "cancelled items/7"})),
        ("GET", "/v1/watch/w", "", 200, json!([{"name": "w0"}, {"name": "w1"}, {"name": "w2"}])),
        ("POST", "/v1/collect", r#"[{"name":"a"}, {"name":"b"}]"#, 200, json!({"name": "a+b"})),
        ("POST", "/v1/talk", r#"[{"name":"a"}, {"name":"b"}]"#, 200, json!([{"name": "a!"}, {"name": "b!"}])),
        (
            "PUT",
            "/v1/files/f",
            "raw bytes",
            200,
            json!({"name": "f", "mark": "cmF3IGJ5dGVz", "note": "application/json"}),
        ),
    ] {
        let answer = ask(&gateway, method, path, sent).await;
        assert_eq!((answer.status, answer.json()), (status, wanted), "{method} {path}");
        assert_eq!(answer.header("content-type"), "application/json");
    }
    for path in ["/v1/page/x", "/v1/pages/x"] {
        let page = ask(&gateway, "GET", path, "").await;
        assert_eq!((page.status, page.header("content-type")), (200, "text/html"), "{path}");
        assert_eq!(page.text(), if path == "/v1/page/x" { "<p>x" } else { "<p>x<p>x" });
    }
    let missing = ask(&gateway, "GET", "/v1/items/none", "").await;
    assert_eq!((missing.status, missing.header("grpc-status"), missing.text()), (404, "5", String::new()));
    let nothing = ask(&gateway, "GET", "/v1/watch/nothing", "").await;
    assert_eq!((nothing.status, nothing.header("grpc-message")), (404, "nothing"));
    for (method, path, sent, status, text) in [
        (
            "GET",
            "/v1/items/7?colour=red",
            "",
            400,
            "query parameter \"colour\": there is no field \"colour\"",
        ),
        ("POST", "/v1/items", "{", 400, "the body is no shop.v1.Item: EOF while parsing"),
        ("POST", "/v1/collect", "{}", 400, "Bad Request"),
    ] {
        let answer = ask(&gateway, method, path, sent).await;
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.text().starts_with(text), "{}", answer.text());
    }
    let long = format!("{{\"name\":\"{}\"}}", "x".repeat(1 << 20));
    assert_eq!(ask(&gateway, "POST", "/v1/items", &long).await.status, 413);
    // A gRPC client is served as ever.
    let channel = tonic::transport::Endpoint::try_from(format!("http://{}", gateway.http())).unwrap();
    let channel = channel.connect().await.unwrap();
    let mut client = shop::shop_client::ShopClient::new(channel);
    let unrouted = client.get_item(Get::default()).await.unwrap_err();
    assert_eq!(unrouted.code(), tonic::Code::Unimplemented, "its path has no route");
    let told = gateway.portcullis(&["explain", "GET", "http://shop.test/v1/items/7"]).await;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("JSON requests are calls of shop.v1.Shop"), "{told}");
}

#[tokio::test]
async fn a_listener_transcodes_before_it_routes() {
    let gateway = Gateway::new();
    let file = gateway.data.path().join("shop.pb");
    let options = format!(
        "httpGateway: {{options: {{grpcJsonTranscoder: {{protoDescriptor: {}, services: [shop.v1.Shop], \
         autoMapping: true, convertGrpcStatus: true, ignoredQueryParameters: [key], \
         printOptions: {{preserveProtoFieldNames: true, alwaysPrintEnumsAsInts: true}}}}}}}}",
        file.display()
    );
    gateway.write("gateways.yaml", &gateway.listeners().replace("httpGateway: {}", &options));
    gateway.write("us.yaml", &upstream("shop", serve(gateway.ip).await, "  useHttp2: true\n"));
    let plain = scripted(gateway.ip, async |_| http::Response::new(body("plain"))).await;
    gateway.write("plain.yaml", &upstream("plain", plain.address, ""));
    let routes = forward("/shop.v1.Shop/", "shop") + &forward("/", "plain");
    gateway.write("vs.yaml", &virtual_service("shop", "['*']", &routes));
    std::fs::write(&file, DESCRIPTORS).unwrap();
    let gateway = gateway.start().await;

    let item = ask(&gateway, "POST", "/v1/items?key=1", r#"{"item_id":9,"kind":"PEN"}"#).await;
    assert_eq!(item.text(), r#"{"item_id":"9","kind":2}"#);
    let automatic = ask(&gateway, "POST", "/shop.v1.Shop/Plain", r#"{"name":"p"}"#).await;
    assert_eq!(automatic.json(), json!({"name": "p"}));
    let missing = ask(&gateway, "GET", "/v1/items/none", "").await;
    assert_eq!(missing.status, 404);
    assert_eq!(missing.json(), json!({"code": 5, "message": "no such item, not one"}));
    assert_eq!(missing.header("grpc-status"), "");
    assert_eq!(ask(&gateway, "GET", "/elsewhere", "").await.text(), "plain");

    // A descriptor file that changes is read again.
    let smaller = {
        use prost::Message as _;
        let mut set = prost_types::FileDescriptorSet::decode(DESCRIPTORS).unwrap();
        let shop = set.file.iter_mut().find(|file| file.package() == "shop.v1").unwrap();
        shop.service[0].method.retain(|method| method.name() == "Plain");
        set.encode_to_vec()
    };
    std::fs::write(&file, smaller).unwrap();
    until("the new descriptors", async || {
        (ask(&gateway, "GET", "/v1/items/none", "").await.text() == "plain").then_some(())
    })
    .await;
    // One that is no set of descriptors is told, and the last good one stays.
    std::fs::write(&file, "none").unwrap();
    until("the report", async || {
        let told = gateway.portcullis(&["get", "gw", "-o", "yaml"]).await;
        String::from_utf8_lossy(&told.stdout).contains("the descriptor set cannot be used").then_some(())
    })
    .await;
    assert_eq!(ask(&gateway, "POST", "/shop.v1.Shop/Plain", r#"{"name":"p"}"#).await.json()["name"], "p");
}
