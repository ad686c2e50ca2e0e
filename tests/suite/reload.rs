//! What happens to traffic when files change: created, edited, renamed, removed, swapped by symlink, broken.

use std::os::unix::fs::symlink;

use portcullis_tests::gateway::Gateway;

use crate::{forward, two_versions, virtual_service};

#[tokio::test]
async fn files_come_and_go_while_traffic_runs() {
    let gateway = Gateway::new();
    let _upstreams = two_versions(&gateway).await;
    gateway.write("a.yaml", &virtual_service("a", "['a.test']", &forward("/", "v1")));
    let gateway = gateway.start().await;
    assert_eq!(gateway.get("a.test", "/").await.served_by(), "v1");
    assert_eq!(gateway.get("b.test", "/").await.status, 404);

    // A new file in a new folder.
    gateway.write("deep/er/b.yaml", &virtual_service("b", "['b.test']", &forward("/", "v2")));
    gateway.until_get("b.test", "/", |answer| answer.status == 200).await;

    // Written in place, as `echo >` does.
    let edited = virtual_service("b", "['b.test']", &forward("/", "v1"));
    std::fs::write(gateway.config.path().join("deep/er/b.yaml"), edited).unwrap();
    gateway.until_get("b.test", "/", |answer| answer.status == 200 && answer.served_by() == "v1").await;

    // Renamed: the resource stays, served throughout.
    std::fs::rename(gateway.config.path().join("deep/er/b.yaml"), gateway.config.path().join("c.yml"))
        .unwrap();
    // Removed: gone.
    gateway.remove("a.yaml");
    gateway.until_get("a.test", "/", |answer| answer.status == 404).await;
    assert_eq!(gateway.get("b.test", "/").await.served_by(), "v1");
}

#[tokio::test]
async fn a_mount_swapped_by_symlink_is_taken_up() {
    let gateway = Gateway::new();
    let _upstreams = two_versions(&gateway).await;
    // As the kubelet lays out a ConfigMap: files are links into `..data`, which is a link to a dated folder.
    let mount = gateway.config.path().join("mount");
    for (folder, upstream) in [("..2026_1", "v1"), ("..2026_2", "v2")] {
        std::fs::create_dir_all(mount.join(folder)).unwrap();
        let text = virtual_service("mounted", "['m.test']", &forward("/", upstream));
        std::fs::write(mount.join(folder).join("vs.yaml"), text).unwrap();
    }
    symlink("..2026_1", mount.join("..data")).unwrap();
    symlink("..data/vs.yaml", mount.join("vs.yaml")).unwrap();
    let gateway = gateway.start().await;
    assert_eq!(gateway.get("m.test", "/").await.served_by(), "v1");

    symlink("..2026_2", mount.join("..data_tmp")).unwrap();
    std::fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    gateway.until_get("m.test", "/", |answer| answer.status == 200 && answer.served_by() == "v2").await;
}

#[tokio::test]
async fn a_broken_file_keeps_its_last_accepted_form_and_harms_nothing_else_also_after_a_restart() {
    let mut gateway = Gateway::new();
    let _upstreams = two_versions(&gateway).await;
    gateway.write("a.yaml", &virtual_service("a", "['a.test']", &forward("/", "v1")));
    gateway.write("b.yaml", &virtual_service("b", "['b.test']", &forward("/", "v1")));
    gateway = gateway.start().await;
    assert_eq!(gateway.get("a.test", "/").await.status, 200);

    // Three kinds of broken: not YAML, a misspelt field, and a rule violated.
    let misspelt = virtual_service(
        "a",
        "['a.test']",
        "    - matchers: [{prefixx: /}]\n      directResponseAction: {status: 200}\n",
    );
    let no_action = virtual_service("a", "['a.test']", "    - matchers: [{prefix: /}]\n");
    for broken in ["{ not yaml", misspelt.as_str(), no_action.as_str()] {
        gateway.write("a.yaml", broken);
        // The other file's change shows that the broken one has been seen.
        for upstream in ["v2", "v1"] {
            gateway.write("b.yaml", &virtual_service("b", "['b.test']", &forward("/", upstream)));
            gateway.until_get("b.test", "/", |a| a.status == 200 && a.served_by() == upstream).await;
        }
        assert_eq!(gateway.get("a.test", "/").await.served_by(), "v1", "after {broken:?}");
    }
    let shown = gateway.portcullis(&["get", "vs", "a"]).await;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("Rejected"), "{shown}");

    assert_eq!(gateway.stop("TERM").await, Some(0));
    gateway.start_again(&[]).await;
    assert_eq!(gateway.get("a.test", "/").await.served_by(), "v1");
    assert_eq!(gateway.get("b.test", "/").await.status, 200);

    // Mended, it applies.
    gateway.write("a.yaml", &virtual_service("a", "['a.test']", &forward("/", "v2")));
    gateway.until_get("a.test", "/", |answer| answer.served_by() == "v2").await;
}

#[tokio::test]
async fn a_folder_that_cannot_be_read_is_not_an_empty_one() {
    let gateway = Gateway::new();
    let _upstreams = two_versions(&gateway).await;
    gateway.write("a.yaml", &virtual_service("a", "['a.test']", &forward("/", "v1")));
    gateway.write("b.yaml", &virtual_service("b", "['b.test']", &forward("/", "v1")));
    let gateway = gateway.start().await;
    // A file that turns into a dangling link cannot be read; it was not removed.
    gateway.remove("a.yaml");
    let away = gateway.data.path().join("away.yaml");
    std::fs::write(&away, virtual_service("a", "['a.test']", &forward("/", "v1"))).unwrap();
    symlink(&away, gateway.config.path().join("a.yaml")).unwrap();
    gateway.until_get("a.test", "/", |answer| answer.status == 200).await;
    std::fs::remove_file(&away).unwrap();
    gateway.write("b.yaml", &virtual_service("b", "['b.test']", &forward("/", "v2")));
    gateway.until_get("b.test", "/", |answer| answer.status == 200 && answer.served_by() == "v2").await;
    assert_eq!(gateway.get("a.test", "/").await.status, 200);
}

#[tokio::test]
async fn listeners_come_and_go_without_touching_the_others() {
    let gateway = Gateway::new();
    let _upstreams = two_versions(&gateway).await;
    gateway.write("a.yaml", &virtual_service("a", "['a.test']", &forward("/", "v1")));
    let gateway = gateway.start().await;

    let stream = tokio::net::TcpStream::connect(gateway.http()).await.unwrap();
    let (mut kept, connection) =
        hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let ask = |kept: &mut hyper::client::conn::http1::SendRequest<String>| {
        kept.send_request(http::Request::get("/").header("host", "a.test").body(String::new()).unwrap())
    };
    assert_eq!(ask(&mut kept).await.unwrap().status(), 200);

    let third = std::net::SocketAddr::from((gateway.ip, 8081));
    let further = gateway.listeners()
        + &format!(
            "---\napiVersion: gateway.solo.io/v1\nkind: Gateway\nmetadata: {{name: third, namespace: gloo-system}}\n\
             spec: {{bindAddress: {}, bindPort: 8081, httpGateway: {{}}}}\n",
            gateway.ip
        );
    gateway.write("gateways.yaml", &further);
    portcullis_tests::wait::until("the third listener", async || {
        portcullis_tests::client::request(third, "GET", "a.test", "/", &[], "")
            .await
            .ok()
            .filter(|a| a.status == 200)
    })
    .await;
    assert_eq!(ask(&mut kept).await.unwrap().status(), 200, "the connection was not touched");

    gateway.write("gateways.yaml", &gateway.listeners());
    portcullis_tests::wait::until("the third listener is gone", async || {
        tokio::net::TcpStream::connect(third).await.is_err().then_some(())
    })
    .await;
    assert_eq!(ask(&mut kept).await.unwrap().status(), 200, "the connection was not touched");
}
