//! `sds` of `sslConfig`: secrets that a server hands out.

use serde::Deserialize;

/// `sds`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SdsConfig {
    /// Host and port of the server, or `unix:` and a path.
    pub target_uri: String,
    /// What the server wants to know of its client.
    pub call_credentials: Option<CallCredentials>,
    /// The name that Envoy's bootstrap has for the server.
    pub cluster_name: Option<String>,
    /// Name of the secret with certificate and key.
    pub certificates_secret_name: String,
    /// Name of the secret with the CA.
    pub validation_context_name: String,
}

/// `callCredentials`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CallCredentials {
    /// A token in a file.
    pub file_credential_source: Option<FileCredentialSource>,
}

/// `fileCredentialSource`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FileCredentialSource {
    /// Path of the token.
    pub token_file_name: String,
    /// Metadata key that it is sent with.
    pub header: String,
}
