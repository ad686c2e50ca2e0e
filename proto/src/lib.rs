//! The private wire schema: generated types and service stubs, no logic.
//!
//! The hand-written pieces are the `Debug` of messages that hold secrets, such as [`table::v1::Certificate`]: it shows none.

#![allow(missing_docs, clippy::all, clippy::pedantic)]
// Comments of the schema are plain text.
#![allow(rustdoc::invalid_html_tags, rustdoc::broken_intra_doc_links, rustdoc::bare_urls)]

/// Wire resources.
pub mod table {
    pub mod v1 {
        tonic::include_proto!("portcullis.table.v1");

        impl std::fmt::Debug for Certificate {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct("Certificate").field("name", &self.name).finish_non_exhaustive()
            }
        }

        impl std::fmt::Debug for ConnectHeader {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct("ConnectHeader").field("name", &self.name).finish_non_exhaustive()
            }
        }
    }
}

/// Policies, carried inside routes as `google.protobuf.Any`.
pub mod policy {
    pub mod v1 {
        tonic::include_proto!("portcullis.policy.v1");
    }
}

/// The link between control and a worker.
pub mod link {
    pub mod v1 {
        tonic::include_proto!("portcullis.link.v1");
    }
}

/// What the command line asks of control.
pub mod admin {
    pub mod v1 {
        tonic::include_proto!("portcullis.admin.v1");
    }
}

/// Services of Envoy that users run for their proxies, and the messages that they share.
pub mod envoy {
    pub mod config {
        pub mod core {
            pub mod v3 {
                tonic::include_proto!("envoy.config.core.v3");

                impl std::fmt::Debug for DataSource {
                    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.debug_struct("DataSource").finish_non_exhaustive()
                    }
                }
            }
        }
    }

    pub mod extensions {
        pub mod common {
            pub mod ratelimit {
                pub mod v3 {
                    tonic::include_proto!("envoy.extensions.common.ratelimit.v3");
                }
            }
        }

        pub mod transport_sockets {
            pub mod tls {
                pub mod v3 {
                    tonic::include_proto!("envoy.extensions.transport_sockets.tls.v3");
                }
            }
        }
    }

    pub mod data {
        pub mod accesslog {
            pub mod v3 {
                tonic::include_proto!("envoy.data.accesslog.v3");
            }
        }
    }

    pub mod service {
        pub mod accesslog {
            pub mod v3 {
                tonic::include_proto!("envoy.service.accesslog.v3");
            }
        }

        pub mod auth {
            pub mod v3 {
                tonic::include_proto!("envoy.service.auth.v3");
            }
        }

        pub mod discovery {
            pub mod v3 {
                tonic::include_proto!("envoy.service.discovery.v3");
            }
        }

        pub mod ratelimit {
            pub mod v3 {
                tonic::include_proto!("envoy.service.ratelimit.v3");
            }
        }

        pub mod secret {
            pub mod v3 {
                tonic::include_proto!("envoy.service.secret.v3");
            }
        }
    }

    pub mod r#type {
        pub mod v3 {
            tonic::include_proto!("envoy.r#type.v3");
        }
    }
}

/// Messages of Google's that those services use.
pub mod google {
    pub mod rpc {
        tonic::include_proto!("google.rpc");
    }
}
