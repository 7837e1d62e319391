//! `data verify`

use crate::cli::args::DataArgs;
use crate::data::sums::{self, Checked, Verdict};
use crate::error::Error;
use crate::report::{Table, terminal};
use anyhow::{Result, bail};
use clap::Args;

/// Flags of `data verify`.
#[derive(Args)]
pub(super) struct Verify {
    #[command(flatten)]
    data: DataArgs,
    /// One JSON object on stdout
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(super) fn run(&self) -> Result<()> {
        let checked = sums::verify(&self.data.data)?;
        crate::cli::print(&if self.json {
            format!("{}\n", serde_json::json!({ "schema": 1, "data": self.data.data, "files": checked }))
        } else {
            text(&checked)
        })?;
        let damaged: Vec<&str> = checked
            .iter()
            .filter(|one| matches!(one.verdict, Verdict::Damaged { .. }))
            .map(|one| one.name.as_str())
            .collect();
        if !damaged.is_empty() {
            bail!(Error::BadFile(format!(
                "{} of {} files are not what they should be: {}; remove them and fetch them again (`gpu-mnist data fetch`)",
                damaged.len(),
                checked.len(),
                damaged.join(", ")
            )));
        }
        let unknown = checked.iter().filter(|one| one.verdict == Verdict::Unknown).count();
        if unknown > 0 {
            bail!(
                "{unknown} of {} files are of no set on record, so nothing is known of them; `data info` looks at any set",
                checked.len()
            );
        }
        Ok(())
    }
}

fn text(checked: &[Checked]) -> String {
    let mut table = Table::new(&["file", "verdict", "SHA-256"]);
    for one in checked {
        let verdict = match &one.verdict {
            Verdict::Published { data_set, file } => format!("ok: {data_set} {file}"),
            Verdict::Listed => format!("ok: as {} says", sums::SUMS),
            Verdict::Damaged { expected } => format!("WRONG: expected {expected}"),
            Verdict::Unknown => "not on record".to_owned(),
        };
        table.row([one.name.clone(), verdict, one.sha256.clone()]);
    }
    table.text(terminal::unicode())
}
