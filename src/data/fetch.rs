//! Fetching published data sets: resumable, checked by SHA-256, each file whole or not at all.
//!
//! What has arrived of a file is in `<name>.part`; only what has the right sum gets the name itself. A lock keeps two
//! programs from writing into one folder at the same time.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ureq::http::{HeaderMap, StatusCode};

use super::catalogue::{Catalogued, Remote};
use super::sums::sha256_of;
use super::unpack;
use crate::error::Error;

/// Tries at one mirror, as long as each brings something.
const TRIES: usize = 3;
/// Redirects that are followed.
const REDIRECTS: u32 = 5;
/// How much is read at once.
const CHUNK: usize = 1 << 16;

/// What is to be fetched, and how.
#[derive(Clone, Debug)]
pub struct Request {
    /// The set.
    pub set: Catalogued,
    /// Where to; made if need be.
    pub folder: PathBuf,
    /// Tried in order, each ending in a slash.
    pub mirrors: Vec<String>,
    /// How long to wait for a connection, an answer, or the next bytes.
    pub patience: Duration,
}

/// What happens meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Another program fetches into the same folder.
    Waiting,
    /// The file is there already, and right.
    Present(&'a Remote),
    /// Bytes come from here; so many are there from before.
    Start(&'a Remote, &'a str, u64),
    /// So many bytes of the file are there.
    Progress(u64),
    /// It did not work, and why.
    Failed(&'a str, &'a str),
    /// The file is there, and right.
    Done(&'a Remote),
}

/// Why a mirror did not give a file.
struct Failure {
    why: String,
    /// Whether another try may go on where this one ended.
    again: bool,
    /// Whether what came was something else.
    wrong: bool,
}

impl Failure {
    fn of(why: impl Into<String>) -> Self {
        Self { why: why.into(), again: false, wrong: false }
    }
}

/// Which files are there, and right, by name.
///
/// # Errors
/// When a file cannot be read.
pub fn present(set: &Catalogued, folder: &Path) -> Result<Vec<&'static str>> {
    let mut names = Vec::new();
    for file in &set.files {
        if is_right(&folder.join(file.name), file)? {
            names.push(file.name);
        }
    }
    Ok(names)
}

/// Fetches what is missing, and brings it into the form that the program reads.
///
/// # Errors
/// When no mirror gives a file; [`Error::BadFile`] when what all of them gave was something else.
pub fn fetch(request: &Request, tell: &mut dyn FnMut(Step<'_>)) -> Result<()> {
    let Request { set, folder, .. } = request;
    fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}; choose another --out", folder.display()))?;
    let _lock = lock(folder, tell)?;
    for file in &set.files {
        if is_right(&folder.join(file.name), file)? {
            tell(Step::Present(file));
        } else {
            fetch_file(request, file, tell)?;
            tell(Step::Done(file));
        }
    }
    unpack::unpack(set, folder)
}

/// Held until it is dropped.
fn lock(folder: &Path, tell: &mut dyn FnMut(Step<'_>)) -> Result<File> {
    let path = folder.join(".lock");
    let cannot = || format!("cannot lock {}; choose another --out", path.display());
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).open(&path).with_context(cannot)?;
    if file.try_lock().is_err() {
        tell(Step::Waiting);
        file.lock().with_context(cannot)?;
    }
    Ok(file)
}

fn is_right(path: &Path, file: &Remote) -> Result<bool> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() && metadata.len() == file.bytes => {
            Ok(sha256_of(path)? == file.sha256)
        }
        _ => Ok(false),
    }
}

/// One file from the first mirror that gives it.
fn fetch_file(request: &Request, file: &Remote, tell: &mut dyn FnMut(Step<'_>)) -> Result<()> {
    let (mut reasons, mut all_wrong) = (Vec::new(), true);
    for mirror in &request.mirrors {
        let url = format!("{mirror}{}", file.name);
        for attempt in 1..=TRIES {
            let Err(failure) = attempt_at(request, file, &url, tell)? else { return Ok(()) };
            tell(Step::Failed(&url, &failure.why));
            if attempt == TRIES || !failure.again {
                all_wrong &= failure.wrong;
                reasons.push(format!("{url}: {}", failure.why));
                break;
            }
        }
    }
    let message = format!(
        "{} could not be fetched:\n  {}\nTry again later (what has arrived is kept), give another --mirror URL, or get the \
         file by hand: `gpu-mnist data fetch {} --offline` says which",
        file.name,
        reasons.join("\n  "),
        request.set.name
    );
    if all_wrong && !reasons.is_empty() {
        bail!(Error::BadFile(message));
    }
    bail!(message)
}

/// One try: bytes into the `.part` file, and if they are all there and right, its name. The outer error is of this machine.
fn attempt_at(
    request: &Request,
    file: &Remote,
    url: &str,
    tell: &mut dyn FnMut(Step<'_>),
) -> Result<Result<(), Failure>> {
    let target = request.folder.join(file.name);
    let part = request.folder.join(format!("{}.part", file.name));
    let cannot = || format!("cannot write {}; make room or choose another --out", part.display());
    let mut have = fs::metadata(&part).map_or(0, |metadata| metadata.len());
    if have > file.bytes {
        have = 0;
    }
    if have < file.bytes {
        let (body, from) = match open(request, file, url, have) {
            Ok(answer) => answer,
            Err(failure) => return Ok(Err(failure)),
        };
        let mut writer =
            OpenOptions::new().create(true).truncate(false).write(true).open(&part).with_context(cannot)?;
        writer.set_len(from).with_context(cannot)?;
        std::io::Seek::seek(&mut writer, std::io::SeekFrom::End(0)).with_context(cannot)?;
        tell(Step::Start(file, url, from));
        let received = receive(body, request.patience, file.bytes - from, |bytes, done| {
            tell(Step::Progress(from + done));
            writer.write_all(bytes)
        });
        writer.sync_all().with_context(cannot)?;
        match received {
            Ok(()) => {}
            Err(Received::Disk(error)) => return Err(error).with_context(cannot),
            Err(Received::Failed(failure)) => {
                if failure.wrong {
                    fs::remove_file(&part).with_context(cannot)?;
                }
                return Ok(Err(failure));
            }
        }
    }
    let found = sha256_of(&part)?;
    if found != file.sha256 {
        fs::remove_file(&part).with_context(cannot)?;
        let why = format!("sent other bytes: SHA-256 {found}, expected {}", file.sha256);
        return Ok(Err(Failure { wrong: true, ..Failure::of(why) }));
    }
    fs::rename(&part, &target).with_context(cannot)?;
    Ok(Ok(()))
}

/// Asks for the file from byte `have` on; gives the body and the byte that it begins at.
fn open(
    request: &Request,
    file: &Remote,
    url: &str,
    have: u64,
) -> Result<(ureq::BodyReader<'static>, u64), Failure> {
    let agent = ureq::Agent::new_with_config(
        ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(REDIRECTS)
            // A file that is asked for in secret does not come in the open.
            .https_only(url.starts_with("https:"))
            .timeout_resolve(Some(request.patience))
            .timeout_connect(Some(request.patience))
            .timeout_recv_response(Some(request.patience))
            .user_agent(concat!("gpu-mnist/", env!("CARGO_PKG_VERSION")))
            .build(),
    );
    let mut ask = agent.get(url);
    if have > 0 {
        ask = ask.header("Range", format!("bytes={have}-"));
    }
    let response = ask.call().map_err(|error| Failure::of(error.to_string()))?;
    let (status, headers) = (response.status(), response.headers());
    let from = match status {
        StatusCode::OK => 0,
        StatusCode::PARTIAL_CONTENT if begins_at(headers, have) => have,
        _ => {
            let reason = status.canonical_reason().unwrap_or("unknown");
            return Err(Failure::of(format!("answered {} {reason}", status.as_u16())));
        }
    };
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if text("content-type").starts_with("text/html") {
        return Err(Failure { wrong: true, ..Failure::of("sent a web page instead of the file") });
    }
    match text("content-length").parse::<u64>() {
        Ok(length) if length != file.bytes - from => {
            let why = format!("offers {length} bytes, expected {}", file.bytes - from);
            Err(Failure { wrong: true, ..Failure::of(why) })
        }
        _ => Ok((response.into_body().into_reader(), from)),
    }
}

/// Whether a partial answer is the part that was asked for: `Content-Range: bytes 100-199/200`.
fn begins_at(headers: &HeaderMap, have: u64) -> bool {
    let range = headers.get("content-range").and_then(|value| value.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {have}-")))
}

enum Received {
    Disk(std::io::Error),
    Failed(Failure),
}

/// Takes `expected` bytes and hands them on with the number so far. The reading is done by a thread of its own, so that a
/// server that says nothing more can be left; the thread ends with its connection.
fn receive(
    mut body: impl Read + Send + 'static,
    patience: Duration,
    expected: u64,
    mut each: impl FnMut(&[u8], u64) -> std::io::Result<()>,
) -> Result<(), Received> {
    let (sender, receiver) = sync_channel::<std::io::Result<Vec<u8>>>(4);
    std::thread::spawn(move || {
        loop {
            let mut chunk = vec![0; CHUNK];
            let read = body.read(&mut chunk).map(|read| {
                chunk.truncate(read);
                chunk
            });
            let is_last = !matches!(&read, Ok(chunk) if !chunk.is_empty());
            if sender.send(read).is_err() || is_last {
                return;
            }
        }
    });
    let mut done = 0;
    let cut = |done: u64, why: &str| {
        let why = format!("{why} after {done} of {expected} bytes");
        Received::Failed(Failure { again: done > 0, ..Failure::of(why) })
    };
    while done < expected {
        let chunk = match receiver.recv_timeout(patience) {
            Ok(Ok(chunk)) if !chunk.is_empty() => chunk,
            Ok(Err(error)) => return Err(cut(done, &format!("broke off ({error})"))),
            Err(RecvTimeoutError::Timeout) => return Err(cut(done, "sent nothing more")),
            Ok(Ok(_)) | Err(RecvTimeoutError::Disconnected) => return Err(cut(done, "ended")),
        };
        done += chunk.len() as u64;
        if done > expected {
            let why = format!("sent more than the expected {expected} bytes");
            return Err(Received::Failed(Failure { wrong: true, ..Failure::of(why) }));
        }
        each(&chunk, done).map_err(Received::Disk)?;
    }
    Ok(())
}
