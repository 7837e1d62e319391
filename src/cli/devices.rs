//! `devices`

use crate::backend::device::{Device, Wanted};
use crate::backend::gpu::{Api, adapter};
use anyhow::Result;
use clap::Args;

/// Flags of `devices`.
#[derive(Args)]
pub(super) struct Devices {
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

impl Devices {
    pub(super) fn run(&self) -> Result<()> {
        let adapters = adapter::all(Api::Any);
        let (_, auto) = Device::find(Wanted::Auto, None, None)?;
        let mut text = String::new();
        for (index, adapter) in adapters.iter().enumerate() {
            let info = adapter.info();
            let (smallest, largest) = adapter.subgroup_sizes();
            if self.json {
                let line = serde_json::json!({
                    "schema": 1, "index": index, "name": info.name, "type": adapter.kind(), "backend": info.backend,
                    "driver": info.driver, "subgroup_sizes": [smallest, largest], "features": adapter.features(),
                    "cooperative_matrices": adapter.offered_matrices(), "software": info.software,
                });
                text.push_str(&format!("{line}\n"));
                continue;
            }
            text.push_str(&format!(
                "{index}  {}\n   {} through {}, driver {}, subgroups of {smallest} to {largest}, {}\n",
                info.name,
                adapter.kind(),
                info.backend,
                info.driver,
                match adapter.features().join(", ") {
                    features if features.is_empty() => "no optional features".to_owned(),
                    features => features,
                }
            ));
            let matrices = adapter.offered_matrices();
            if !matrices.is_empty() {
                text.push_str(&format!("   cooperative matrices: {}\n", matrices.join(", ")));
            }
        }
        if self.json {
            text.push_str(&format!("{}\n", serde_json::json!({ "schema": 1, "auto": auto })));
        } else {
            if adapters.is_empty() {
                text.push_str("no adapters; on Debian and Ubuntu: apt-get install mesa-vulkan-drivers\n");
            }
            text.push_str(&format!("auto: {auto}\n"));
        }
        super::print(&text)
    }
}
