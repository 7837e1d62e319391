//! `data fetch`

use crate::cli::console::{duration, eprint_line};
use crate::data::catalogue::{self, Catalogued, Form};
use crate::data::fetch::{self, Request, Step};
use crate::error::Error;
use crate::layers::summary::thousands;
use crate::report::{Table, terminal};
use anyhow::{Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Without a terminal, long files get a line this often.
const PLAIN_LINE_EVERY: Duration = Duration::from_secs(10);

/// Flags of `data fetch`.
#[derive(Args)]
pub(super) struct Fetch {
    /// mnist, fashion-mnist, kmnist, emnist or qmnist
    name: String,
    /// Where to [default: data/<name>]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Open no socket: say which files are needed, and use those that are there
    #[arg(long)]
    offline: bool,
    /// Fetch from here, before the known places; may be given several times
    #[arg(long, value_name = "URL")]
    mirror: Vec<String>,
    /// Only from --mirror
    #[arg(long, requires = "mirror")]
    no_known_mirrors: bool,
    /// Seconds to wait for an answer or the next bytes
    #[arg(long, value_name = "S", default_value_t = 30.0)]
    timeout: f64,
    /// Nothing on stderr but errors
    #[arg(short, long)]
    quiet: bool,
    /// One JSON object on stdout
    #[arg(long)]
    json: bool,
}

impl Fetch {
    pub(super) fn run(&self) -> Result<()> {
        let set = catalogue::find(&self.name)?;
        let folder = self.out.clone().unwrap_or_else(|| Path::new("data").join(set.name));
        let mirrors = self.mirrors(&set)?;
        let patience = Duration::try_from_secs_f64(self.timeout).ok().filter(|patience| !patience.is_zero());
        let Some(patience) = patience else {
            bail!(Error::Usage(format!("--timeout {} is no time; give seconds above 0", self.timeout)));
        };
        if self.offline {
            let present = fetch::present(&set, &folder)?;
            if present.len() < set.files.len() {
                return crate::cli::print(&self.instructions(&set, &folder, &mirrors, &present));
            }
        }
        let mut progress = Progress::new(self.quiet);
        let request = Request { set, folder, mirrors, patience };
        fetch::fetch(&request, &mut |step| progress.step(&step))?;
        let use_it = usage(&request.set, &request.folder);
        crate::cli::print(&if self.json {
            let folder = request.folder.display().to_string();
            format!(
                "{}\n",
                serde_json::json!({ "schema": 1, "data": request.set.name, "folder": folder, "complete": true })
            )
        } else {
            format!("{} is in {}; use it with {use_it}\n", request.set.name, request.folder.display())
        })
    }

    fn mirrors(&self, set: &Catalogued) -> Result<Vec<String>> {
        for mirror in &self.mirror {
            if !mirror.starts_with("https://") && !mirror.starts_with("http://") {
                bail!(Error::Usage(format!(
                    "--mirror {mirror:?} is no address; it begins with https:// or http://"
                )));
            }
        }
        let slash =
            |mirror: &String| if mirror.ends_with('/') { mirror.clone() } else { format!("{mirror}/") };
        let known = if self.no_known_mirrors { &[] } else { set.mirrors };
        Ok(self.mirror.iter().map(slash).chain(known.iter().map(|&mirror| mirror.to_owned())).collect())
    }

    /// What to get by hand.
    fn instructions(&self, set: &Catalogued, folder: &Path, mirrors: &[String], present: &[&str]) -> String {
        if self.json {
            let files: Vec<serde_json::Value> = set
                .files
                .iter()
                .map(|file| {
                    let urls: Vec<String> =
                        mirrors.iter().map(|mirror| format!("{mirror}{}", file.name)).collect();
                    serde_json::json!({
                        "name": file.name, "bytes": file.bytes, "sha256": file.sha256, "urls": urls,
                        "present": present.contains(&file.name),
                    })
                })
                .collect();
            let folder = folder.display().to_string();
            let value = serde_json::json!({
                "schema": 1, "data": set.name, "folder": folder, "complete": false, "files": files,
            });
            return format!("{value}\n");
        }
        let mut table = Table::new(&["file", "bytes", "SHA-256", "here"]);
        for file in &set.files {
            let here = if present.contains(&file.name) { "yes" } else { "missing" };
            table.row([file.name, &thousands(file.bytes as usize), file.sha256, here]);
        }
        let places: String = mirrors.iter().map(|mirror| format!("  {mirror}\n")).collect();
        format!(
            "{} needs these files in the folder {}:\n\n{}\nfrom any of (file names go behind the address):\n{places}\n\
             Put them there, run this command again{}, then use {}\n",
            set.name,
            folder.display(),
            table.text(terminal::unicode()),
            if set.form == Form::Idx { " to check them" } else { " to check and unpack them" },
            usage(set, folder)
        )
    }
}

/// How to use a set that is there.
fn usage(set: &Catalogued, folder: &Path) -> String {
    let folder = folder.display();
    match set.form {
        Form::Idx | Form::Qmnist => format!("--data {folder}"),
        Form::Emnist => format!("--data {folder}/letters (or balanced, byclass, bymerge, digits, mnist)"),
    }
}

/// A bar where stderr is a terminal, lines where it is not.
struct Progress {
    quiet: bool,
    bar: Option<ProgressBar>,
    file: (&'static str, u64),
    start: Instant,
    first: u64,
    last_line: Instant,
}

impl Progress {
    fn new(quiet: bool) -> Self {
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let template = "{msg} {bar:30} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";
            bar.set_style(
                ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar
        });
        Self { quiet, bar, file: ("", 0), start: Instant::now(), first: 0, last_line: Instant::now() }
    }

    fn say(&self, line: &str) {
        match &self.bar {
            _ if self.quiet => {}
            Some(bar) => bar.suspend(|| eprint_line(line)),
            None => eprint_line(line),
        }
    }

    fn step(&mut self, step: &Step<'_>) {
        match step {
            Step::Waiting => self.say("another gpu-mnist fetches into this folder: waiting for it"),
            Step::Present(file) => self.say(&format!("{}: is there already, checked", file.name)),
            Step::Start(file, url, from) => {
                let rest = if *from > 0 {
                    format!(", going on after {} bytes", thousands(*from as usize))
                } else {
                    String::new()
                };
                self.say(&format!("{url}: {} bytes{rest}", thousands(file.bytes as usize)));
                (self.file, self.first) = ((file.name, file.bytes), *from);
                (self.start, self.last_line) = (Instant::now(), Instant::now());
                if let Some(bar) = &self.bar {
                    bar.reset();
                    bar.set_length(file.bytes);
                    bar.set_message(file.name);
                    bar.set_position(*from);
                }
            }
            Step::Progress(done) => self.progress(*done),
            Step::Failed(url, why) => self.say(&format!("{url}: {why}")),
            Step::Done(file) => {
                if let Some(bar) = &self.bar {
                    bar.finish_and_clear();
                }
                self.say(&format!("{}: complete, checked", file.name));
            }
        }
    }

    fn progress(&mut self, done: u64) {
        let (name, bytes) = self.file;
        match &self.bar {
            Some(bar) => bar.set_position(done),
            None if self.last_line.elapsed() >= PLAIN_LINE_EVERY => {
                self.last_line = Instant::now();
                let rate = (done - self.first) as f64 / self.start.elapsed().as_secs_f64();
                let left = duration((bytes - done) as f64 / rate.max(1.0));
                self.say(&format!(
                    "{name}: {} % at {:.1} MB/s, {left} left",
                    100 * done / bytes.max(1),
                    rate / 1e6
                ));
            }
            None => {}
        }
    }
}
