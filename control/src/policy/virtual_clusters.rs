//! `stats.virtualClusters` of virtual hosts: requests that are counted apart. Not a policy: the virtual host has them.

use portcullis_shared::routing::pattern;

use super::Layer;
use crate::ir::VirtualCluster;
use crate::resource::VirtualHostOptions;
use crate::translate::Notes;

/// Those of the first layer that has any.
pub fn of_host(layers: &[Layer<'_, VirtualHostOptions>], notes: &mut Notes) -> Vec<VirtualCluster> {
    let field = "stats.virtualClusters";
    let found = layers
        .iter()
        .find_map(|layer| layer.field(field, |options| Some(&options.stats.as_ref()?.virtual_clusters)));
    let Some(found) = found else { return Vec::new() };
    let mut clusters = Vec::with_capacity(found.value.len());
    for (at, cluster) in found.value.iter().enumerate() {
        let mut fine = true;
        for (field, text) in [("name", &cluster.name), ("pattern", &cluster.pattern)] {
            if text.is_empty() {
                found.error(notes, &format!("[{at}].{field}"), format!("a virtual cluster needs a {field}"));
                fine = false;
            }
        }
        if let Err(problem) = pattern::full(&cluster.pattern) {
            found.error(notes, &format!("[{at}].pattern"), problem);
            fine = false;
        }
        if fine {
            clusters.push(VirtualCluster {
                name: cluster.name.replace('.', "_").into(),
                pattern: cluster.pattern.as_str().into(),
                method: cluster.method.as_str().into(),
            });
        }
    }
    clusters
}
