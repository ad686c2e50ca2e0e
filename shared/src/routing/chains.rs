//! Which filter chain a connection gets: by server name, then by the client's address.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use ipnet::IpNet;

use crate::table::ServerName;

/// Which connections a filter chain takes.
#[derive(Debug, Clone, Copy)]
pub struct ChainMatch<'a> {
    /// Empty = every name and none.
    pub server_names: &'a [ServerName],
    /// Networks of clients, without host bits; empty = any address.
    pub source_prefixes: &'a [IpNet],
}

/// Another chain takes the same connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken<T> {
    /// What was put in for it.
    pub by: T,
    /// Position of the server name; `None` = the chain is for every name.
    pub name: Option<usize>,
    /// The network; `None` = the chain is for any address.
    pub prefix: Option<IpNet>,
}

/// Finds the chain of a connection. The server name decides first: the exact one, then the longest `*.` suffix, then the
/// chains without names. Among the chains for that name the longest network that holds the client decides. What was
/// decided by name is not taken back when no network fits: there is no chain then.
#[derive(Debug, Clone)]
pub struct ChainIndex<T> {
    exact: HashMap<Arc<str>, Sources<T>>,
    /// Keyed by what follows the star: `.example.com`.
    suffix: HashMap<Arc<str>, Sources<T>>,
    any: Sources<T>,
}

#[derive(Debug, Clone)]
struct Sources<T> {
    /// Longest first.
    networks: Vec<(IpNet, T)>,
    any: Option<T>,
}

impl<T> Default for ChainIndex<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), suffix: HashMap::new(), any: Sources::default() }
    }
}

impl<T> Default for Sources<T> {
    fn default() -> Self {
        Self { networks: Vec::new(), any: None }
    }
}

impl<T: Clone> ChainIndex<T> {
    /// Adds a chain.
    ///
    /// # Errors
    /// Another chain takes some of its connections. It is in the index for the others all the same.
    pub fn insert(&mut self, matching: ChainMatch<'_>, chain: T) -> Result<(), Taken<T>> {
        let mut result = Ok(());
        let mut add = |name: Option<usize>, sources: &mut Sources<T>| {
            if let Err((by, prefix)) = sources.insert(matching.source_prefixes, &chain)
                && result.is_ok()
            {
                result = Err(Taken { by, name, prefix });
            }
        };
        if matching.server_names.is_empty() {
            add(None, &mut self.any);
        }
        for (at, name) in matching.server_names.iter().enumerate() {
            let (map, key) = match name {
                ServerName::Exact(name) => (&mut self.exact, name),
                ServerName::Suffix(suffix) => (&mut self.suffix, suffix),
            };
            add(Some(at), map.entry(Arc::clone(key)).or_default());
        }
        result
    }

    /// The chain for a server name and a client. None = the connection is closed.
    pub fn find(&self, server_name: Option<&str>, client: IpAddr) -> Option<&T> {
        let lowered;
        let server_name = match server_name {
            Some(name) if name.bytes().any(|b| b.is_ascii_uppercase()) => {
                lowered = name.to_ascii_lowercase();
                Some(&*lowered)
            }
            name => name,
        };
        let named = server_name.and_then(|name| {
            // The star stands for at least one character, so the search begins behind the first one.
            let suffixes =
                name.match_indices('.').filter(|(at, _)| *at > 0).filter_map(|(at, _)| name.get(at..));
            self.exact.get(name).or_else(|| suffixes.filter_map(|suffix| self.suffix.get(suffix)).next())
        });
        named.unwrap_or(&self.any).find(client)
    }

    /// All chains; one with several names or networks comes once for each.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let all = self.exact.values().chain(self.suffix.values()).chain([&self.any]);
        all.flat_map(|sources| sources.networks.iter().map(|(_, chain)| chain).chain(&sources.any))
    }

    /// Whether a chain has server names.
    pub fn by_name(&self) -> bool {
        !self.exact.is_empty() || !self.suffix.is_empty()
    }
}

impl<T: Clone> Sources<T> {
    fn insert(&mut self, networks: &[IpNet], chain: &T) -> Result<(), (T, Option<IpNet>)> {
        if networks.is_empty() {
            return match &self.any {
                Some(other) => Err((other.clone(), None)),
                None => {
                    self.any = Some(chain.clone());
                    Ok(())
                }
            };
        }
        let mut result = Ok(());
        for network in networks {
            if let Some((_, other)) = self.networks.iter().find(|(there, _)| there == network) {
                result = Err((other.clone(), Some(*network)));
                continue;
            }
            let at = self.networks.partition_point(|(there, _)| there.prefix_len() >= network.prefix_len());
            self.networks.insert(at, (*network, chain.clone()));
        }
        result
    }

    fn find(&self, client: IpAddr) -> Option<&T> {
        let fitting = self.networks.iter().find(|(network, _)| network.contains(&client));
        fitting.map(|(_, chain)| chain).or(self.any.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(chains: &[(&[&str], &[&str])]) -> ChainIndex<usize> {
        let mut index = ChainIndex::default();
        for (at, (names, prefixes)) in chains.iter().enumerate() {
            insert(&mut index, names, prefixes, at).unwrap();
        }
        index
    }

    fn insert(
        index: &mut ChainIndex<usize>,
        names: &[&str],
        prefixes: &[&str],
        at: usize,
    ) -> Result<(), Taken<usize>> {
        let names: Vec<_> = names.iter().map(|name| ServerName::parse(name).unwrap()).collect();
        let prefixes: Vec<IpNet> = prefixes.iter().map(|prefix| prefix.parse().unwrap()).collect();
        index.insert(ChainMatch { server_names: &names, source_prefixes: &prefixes }, at)
    }

    fn find(index: &ChainIndex<usize>, name: &str, client: &str) -> Option<usize> {
        index.find(Some(name).filter(|name| !name.is_empty()), client.parse().unwrap()).copied()
    }

    #[test]
    fn the_name_decides_before_the_address() {
        let index = index(&[
            (&["a.test"], &["10.0.0.0/8"]),
            (&["*.test"], &[]),
            (&["*.b.test"], &[]),
            (&[], &["10.0.0.0/8"]),
            (&[], &["10.1.0.0/16", "fd00::/8"]),
            (&[], &[]),
        ]);
        for (name, client, chain) in [
            ("a.test", "10.0.0.1", Some(0)),
            ("A.Test", "10.0.0.1", Some(0)),
            // The name has its chain, and that does not take the address.
            ("a.test", "192.0.2.1", None),
            ("c.test", "10.0.0.1", Some(1)),
            ("x.b.test", "10.0.0.1", Some(2)),
            ("test", "10.0.0.1", Some(3)),
            ("", "10.1.2.3", Some(4)),
            ("", "10.2.2.3", Some(3)),
            ("", "fd00::1", Some(4)),
            ("", "fe80::1", Some(5)),
        ] {
            assert_eq!(find(&index, name, client), chain, "{name} from {client}");
        }
        assert!(index.by_name());
        assert_eq!(index.iter().count(), 7);
    }

    #[test]
    fn what_is_taken_is_named() {
        let mut index = index(&[(&["a", "b"], &["10.0.0.0/8"]), (&[], &[])]);
        let taken = insert(&mut index, &["c", "b"], &["11.0.0.0/8", "10.0.0.0/8"], 2).unwrap_err();
        let prefix = "10.0.0.0/8".parse().ok();
        assert_eq!(taken, Taken { by: 0, name: Some(1), prefix });
        assert_eq!(find(&index, "c", "10.0.0.1"), Some(2), "the rest of it is there");
        let taken = insert(&mut index, &[], &[], 3).unwrap_err();
        assert_eq!(taken, Taken { by: 1, name: None, prefix: None });
    }
}
