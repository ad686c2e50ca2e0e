//! Settings that hold in two places, merged field by field: what a hybrid gateway says for its parts, and what those say.
//!
//! A field is said when it is not its type's zero value. Messages are merged in their turn; lists and oneofs are taken
//! whole.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::resource::{
    EarlyHeaderManipulation, Http2ProtocolOptions, HttpConnectionManagerSettings, InternalAddressConfig,
    ListenerTracing, SetCurrentClientCertDetails, SslConfig, SslParameters, TracePercentages,
    UuidRequestIdConfig,
};

/// A message that can be filled up.
pub trait Fill: Clone {
    /// Takes from `other` what is not said here.
    fn fill(&mut self, other: &Self);
}

/// `stronger`, with `weaker` where it says nothing.
pub fn merged<M: Fill>(stronger: &Option<M>, weaker: &Option<M>) -> Option<M> {
    let mut both = stronger.clone();
    message(&mut both, weaker);
    both
}

fn message<M: Fill>(to: &mut Option<M>, from: &Option<M>) {
    match (&mut *to, from) {
        (Some(to), Some(from)) => to.fill(from),
        (None, from) => to.clone_from(from),
        (Some(_), None) => {}
    }
}

fn plain<T: Default + PartialEq + Clone>(to: &mut T, from: &T) {
    if *to == T::default() {
        to.clone_from(from);
    }
}

/// All fields of a message are named, so that none is forgotten.
macro_rules! fill {
    ($message:ident { $($plain:ident),* $(,)? } $({ $($nested:ident),* $(,)? })?) => {
        impl Fill for $message {
            fn fill(&mut self, other: &Self) {
                let $message { $($plain,)* $($($nested,)*)? } = self;
                $(plain($plain, &other.$plain);)*
                $($(message($nested, &other.$nested);)*)?
            }
        }
    };
}

fill!(InternalAddressConfig { unix_sockets, cidr_ranges });
fill!(UuidRequestIdConfig { pack_trace_reason, use_request_id_for_trace_sampling });
fill!(Http2ProtocolOptions {
    max_concurrent_streams,
    initial_stream_window_size,
    initial_connection_window_size,
    override_stream_error_on_invalid_http_message,
});
fill!(SetCurrentClientCertDetails { subject, cert, chain, dns, uri });
fill!(EarlyHeaderManipulation { headers_to_add, headers_to_remove });
fill!(TracePercentages { client_sample_percentage, random_sample_percentage, overall_sample_percentage });
fill!(ListenerTracing {
    request_headers_for_tags,
    environment_variables_for_tags,
    literals_for_tags,
    open_telemetry_config,
    metadata_for_tags,
    verbose,
    spawn_upstream_span,
} { trace_percentages });
fill!(SslParameters { minimum_protocol_version, maximum_protocol_version, cipher_suites, ecdh_curves });

impl Fill for HttpConnectionManagerSettings {
    fn fill(&mut self, other: &Self) {
        let case =
            self.proper_case_header_key_format.is_some() || self.preserve_case_header_key_format.is_some();
        let (proper, preserve) = (self.proper_case_header_key_format, self.preserve_case_header_key_format);
        fill_settings(self, other);
        if case {
            (self.proper_case_header_key_format, self.preserve_case_header_key_format) = (proper, preserve);
        }
    }
}

fn fill_settings(settings: &mut HttpConnectionManagerSettings, other: &HttpConnectionManagerSettings) {
    macro_rules! fields {
        ({ $($plain:ident),* $(,)? } { $($nested:ident),* $(,)? }) => {
            let HttpConnectionManagerSettings { $($plain,)* $($nested,)* } = settings;
            $(plain($plain, &other.$plain);)*
            $(message($nested, &other.$nested);)*
        };
    }
    fields!({
        use_remote_address,
        xff_num_trusted_hops,
        skip_xff_append,
        append_x_forwarded_port,
        via,
        generate_request_id,
        preserve_external_request_id,
        stream_idle_timeout,
        idle_timeout,
        request_timeout,
        request_headers_timeout,
        drain_timeout,
        delayed_close_timeout,
        max_connection_duration,
        max_stream_duration,
        max_request_headers_kb,
        max_headers_count,
        max_requests_per_connection,
        headers_with_underscores_action,
        server_name,
        server_header_transformation,
        accept_http_10,
        default_host_for_http_10,
        proxy_100_continue,
        allow_chunked_length,
        enable_trailers,
        proper_case_header_key_format,
        preserve_case_header_key_format,
        strip_any_host_port,
        normalize_path,
        merge_slashes,
        path_with_escaped_slashes_action,
        codec_type,
        forward_client_cert_details,
        upgrades,
    } {
        internal_address_config,
        uuid_request_id_config,
        http2_protocol_options,
        set_current_client_cert_details,
        early_header_manipulation,
        tracing,
    });
}

impl Fill for SslConfig {
    fn fill(&mut self, other: &Self) {
        let SslConfig {
            secret_ref,
            ssl_files,
            sds,
            sni_domains,
            verify_subject_alt_name,
            parameters,
            alpn_protocols,
            one_way_tls,
            disable_tls_session_resumption,
            transport_socket_connect_timeout,
            ocsp_staple_policy,
        } = self;
        if secret_ref.is_none() && ssl_files.is_none() && sds.is_none() {
            secret_ref.clone_from(&other.secret_ref);
            ssl_files.clone_from(&other.ssl_files);
            sds.clone_from(&other.sds);
        }
        plain(sni_domains, &other.sni_domains);
        plain(verify_subject_alt_name, &other.verify_subject_alt_name);
        message(parameters, &other.parameters);
        plain(alpn_protocols, &other.alpn_protocols);
        plain(one_way_tls, &other.one_way_tls);
        plain(disable_tls_session_resumption, &other.disable_tls_session_resumption);
        plain(transport_socket_connect_timeout, &other.transport_socket_connect_timeout);
        plain(ocsp_staple_policy, &other.ocsp_staple_policy);
    }
}

/// What holds for the `sslConfig` of VirtualServices where they say nothing. Compares by what it says, without keys.
#[derive(Debug, Clone)]
pub struct SslDefaults {
    pub config: Arc<SslConfig>,
    /// The whole of it as text, an inline key as its digest.
    said: Arc<str>,
}

impl SslDefaults {
    /// `None` where they would change nothing.
    pub fn new(config: SslConfig) -> Option<Self> {
        (config != SslConfig::default())
            .then(|| Self { said: format!("{config:?}").into(), config: Arc::new(config) })
    }
}

impl PartialEq for SslDefaults {
    fn eq(&self, other: &Self) -> bool {
        self.said == other.said
    }
}

impl Eq for SslDefaults {}

impl PartialOrd for SslDefaults {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SslDefaults {
    fn cmp(&self, other: &Self) -> Ordering {
        self.said.cmp(&other.said)
    }
}

impl Hash for SslDefaults {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.said.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{ProtocolVersion, Ref, SslFiles};

    #[test]
    fn what_is_said_stands_and_the_rest_is_filled_in_messages_too() {
        let mut settings = HttpConnectionManagerSettings {
            via: Some("a".to_owned()),
            accept_http_10: Some(false),
            proper_case_header_key_format: Some(true),
            http2_protocol_options: Some(Http2ProtocolOptions {
                max_concurrent_streams: Some(1),
                ..Default::default()
            }),
            ..Default::default()
        };
        settings.fill(&HttpConnectionManagerSettings {
            via: Some("b".to_owned()),
            server_name: Some("b".to_owned()),
            accept_http_10: Some(true),
            preserve_case_header_key_format: Some(true),
            http2_protocol_options: Some(Http2ProtocolOptions {
                max_concurrent_streams: Some(2),
                initial_stream_window_size: Some(70_000),
                ..Default::default()
            }),
            ..Default::default()
        });
        assert_eq!((settings.via.as_deref(), settings.server_name.as_deref()), (Some("a"), Some("b")));
        assert_eq!(settings.accept_http_10, Some(false), "false is said, too");
        assert_eq!(settings.preserve_case_header_key_format, None, "one of two");
        let http2 = settings.http2_protocol_options.unwrap();
        assert_eq!((http2.max_concurrent_streams, http2.initial_stream_window_size), (Some(1), Some(70_000)));
    }

    #[test]
    fn key_material_has_one_source() {
        let reference = Ref { name: "a".to_owned(), namespace: "ns".to_owned() };
        let weaker = Some(SslConfig {
            secret_ref: Some(reference.clone()),
            one_way_tls: Some(true),
            parameters: Some(SslParameters {
                minimum_protocol_version: ProtocolVersion::Tls13,
                ..Default::default()
            }),
            ..Default::default()
        });
        let suites = vec!["x".to_owned()];
        let stronger = Some(SslConfig {
            ssl_files: Some(SslFiles::default()),
            parameters: Some(SslParameters { cipher_suites: suites.clone(), ..Default::default() }),
            ..Default::default()
        });
        let both = merged(&stronger, &weaker).unwrap();
        assert_eq!((both.secret_ref, both.ssl_files.is_some()), (None, true));
        assert_eq!(both.one_way_tls, Some(true));
        let parameters = both.parameters.unwrap();
        assert_eq!(parameters.minimum_protocol_version, ProtocolVersion::Tls13);
        assert_eq!(parameters.cipher_suites, suites);
        assert_eq!(merged(&None, &weaker).unwrap().secret_ref, Some(reference));
    }
}
