//! The private wire schema: generated types and service stubs, no logic.
//!
//! The one hand-written piece is a `Debug` for [`table::v1::Certificate`] that never shows key material.

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
