//! Compiles the schema with protox, so that no protoc is needed.

/// Every file of the schema. A new policy adds its file here.
const FILES: &[&str] = &[
    "envoy/service/accesslog/v3/als.proto",
    "envoy/service/auth/v3/external_auth.proto",
    "envoy/extensions/transport_sockets/tls/v3/secret.proto",
    "envoy/service/ratelimit/v3/rls.proto",
    "envoy/service/secret/v3/sds.proto",
    "portcullis/admin/v1/admin.proto",
    "portcullis/link/v1/link.proto",
    "portcullis/policy/v1/answer.proto",
    "portcullis/policy/v1/attempt_count.proto",
    "portcullis/policy/v1/buffer.proto",
    "portcullis/policy/v1/compression.proto",
    "portcullis/policy/v1/ext_auth.proto",
    "portcullis/policy/v1/cors.proto",
    "portcullis/policy/v1/csrf.proto",
    "portcullis/policy/v1/dynamic_forward_proxy.proto",
    "portcullis/policy/v1/fault.proto",
    "portcullis/policy/v1/grpc_json_transcoder.proto",
    "portcullis/policy/v1/grpc_web.proto",
    "portcullis/policy/v1/hash.proto",
    "portcullis/policy/v1/headers.proto",
    "portcullis/policy/v1/health_check.proto",
    "portcullis/policy/v1/host_rewrite.proto",
    "portcullis/policy/v1/metadata.proto",
    "portcullis/policy/v1/path_rewrite.proto",
    "portcullis/policy/v1/rate_limit.proto",
    "portcullis/policy/v1/retry.proto",
    "portcullis/policy/v1/stream_limits.proto",
    "portcullis/policy/v1/shadow.proto",
    "portcullis/policy/v1/timeout.proto",
    "portcullis/policy/v1/tracing.proto",
    "portcullis/policy/v1/upgrade.proto",
    "portcullis/policy/v1/transformation.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for folder in ["portcullis", "envoy", "google"] {
        println!("cargo:rerun-if-changed={folder}");
    }
    // Cargo runs this in the package's folder. A path from compile time would point elsewhere when it is moved.
    let files = protox::compile(FILES, ["."])?;
    // Type names give every policy its type URL.
    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names();
    tonic_prost_build::configure()
        .skip_debug([
            ".envoy.config.core.v3.DataSource",
            ".portcullis.table.v1.Certificate",
            ".portcullis.table.v1.ConnectHeader",
        ])
        .bytes(".portcullis")
        .btree_map(".envoy")
        .compile_fds_with_config(files, config)?;
    Ok(())
}
