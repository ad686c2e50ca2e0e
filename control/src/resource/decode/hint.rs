//! What the writer may have meant.

/// The candidate nearest to a misspelt word, if one is near enough to be meant.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.trim_matches(|c: char| c.is_whitespace()).to_lowercase();
    let limit = match lower.chars().count() {
        0 => return None,
        1..=3 => 1,
        4..=7 => 2,
        _ => 3,
    };
    candidates
        .map(|candidate| {
            (strsim::damerau_levenshtein(&lower.replace('_', ""), &candidate.to_lowercase()), candidate)
        })
        .filter(|(distance, candidate)| *distance <= limit && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// ` such as `a: ..`` for a message's first fields.
pub fn examples(fields: &[&str]) -> String {
    match fields.first() {
        Some(first) => format!(" such as `{first}: ..`"),
        None => " (`{}`)".to_owned(),
    }
}

/// What stands in for a field of old releases, or for a field that is often put wrongly.
pub fn replaced(message: &str, key: &str) -> Option<&'static str> {
    match key {
        "routePlugins"
        | "virtualHostPlugins"
        | "weightedDestinationPlugins"
        | "listenerPlugins"
        | "plugins"
        | "httpPlugins" => Some("it is called `options` since Gloo 1.0"),
        "matcher" if message == "Route" => Some("write a list, `matchers:`"),
        "options" if message == "RouteTable" => Some("a RouteTable has none: put them on its routes"),
        "upstreamSpec" => Some("its content stands directly under `spec`"),
        "virtualServiceRef" | "virtualService" if message == "HttpGateway" => {
            Some("write a list, `virtualServices:`")
        }
        _ => None,
    }
}
