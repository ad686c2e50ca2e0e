//! `portcullis explain`: which route a request takes, and why.
//!
//! [`explain`] is a pure function over a decoded table. It routes with `shared::routing`, the code that the data plane
//! routes with, so the two cannot disagree. Control answers the admin API's `Explain` with [`answer`]. Must not read
//! user resources: what is explained is what workers run.

mod answer;
mod behaviour;
mod care;
mod decide;
mod effect;
mod nearest;
mod render;
mod request;
mod settings;
#[cfg(test)]
mod tests;

pub use answer::{
    Answered, Effect, Explanation, HostFacts, ListenerFacts, Outcome, Passed, PassedOver, RequestFacts,
    RouteFacts, Sent,
};
pub use decide::explain;
pub use request::{Client, Request};

use super::args::{ExplainArgs, TextOrJson};
use super::console::Console;
use super::{Failure, client, offline, runtime};
use crate::compile::{self, Table};
use portcullis_proto::admin::v1::ExplainRequest;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The proxy that is explained when there are several.
const DEFAULT_PROXY: &str = "gateway-proxy";

/// The JSON that control answers. `Err` says what is wrong with the request.
pub fn answer(
    tables: &BTreeMap<Arc<str>, Arc<Table>>,
    method: &str,
    url: &str,
    headers: &[String],
    client: Client<'_>,
) -> Result<String, String> {
    let request = Request::parse(method, url, headers)?.from(client)?;
    let explanation = explain(&compile::decode(chosen(tables)), &request);
    serde_json::to_string(&explanation).map_err(|error| error.to_string())
}

/// The default proxy's table, else the first one, else an empty one.
fn chosen(tables: &BTreeMap<Arc<str>, Arc<Table>>) -> &Table {
    static EMPTY: std::sync::LazyLock<Table> = std::sync::LazyLock::new(Table::default);
    tables.get(DEFAULT_PROXY).or_else(|| tables.values().next()).map_or(&EMPTY, |table| table)
}

/// Runs the command.
pub fn run(args: &ExplainArgs, console: &Console) -> Result<(), Failure> {
    let (method, url) = args.question();
    let client = Client { sni: args.sni.as_deref(), address: args.from.as_deref() };
    let request = Request::parse(method, url, &args.headers).and_then(|it| it.from(client));
    let request = request.map_err(Failure::Usage)?;
    let explanation = match &args.folder {
        Some(folder) => {
            let checked = offline::check(folder, &args.namespace)?;
            for (entry, report) in checked.rejected() {
                console.error(&format!("{} is rejected: {}", entry.id, report.reason().trim()));
            }
            explain(&compile::decode(chosen(&checked.tables)), &request)
        }
        None => runtime()?.block_on(ask(args))?,
    };
    let found = !matches!(explanation.outcome, Outcome::NotServed { .. });
    match args.output {
        TextOrJson::Text => console.data(&render::text(&explanation, console))?,
        TextOrJson::Json => {
            let json =
                serde_json::to_string_pretty(&explanation).map_err(|e| Failure::Because(e.to_string()))?;
            console.data(&(json + "\n"))?;
        }
    }
    if found { Ok(()) } else { Err(Failure::Silent) }
}

async fn ask(args: &ExplainArgs) -> Result<Explanation, Failure> {
    let mut control = client::connect(&args.admin).await?;
    let (method, url) = args.question();
    let request = ExplainRequest {
        method: method.to_owned(),
        url: url.to_owned(),
        headers: args.headers.clone(),
        sni: args.sni.clone(),
        client: args.from.clone().unwrap_or_default(),
    };
    let response = control.explain(request).await.map_err(|status| client::refused(&args.admin, &status))?;
    serde_json::from_str(&response.into_inner().json).map_err(|error| {
        Failure::Because(format!("control answered something else than an explanation: {error}"))
    })
}
