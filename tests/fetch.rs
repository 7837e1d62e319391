//! Fetching data sets from a server on this machine that is not always well-behaved.

mod common;

use common::program::run;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gpu_mnist::data::catalogue::{Catalogued, Form, Remote};
use gpu_mnist::data::fetch::{Request, Step, fetch};
use gpu_mnist::data::sums::{Verdict, verify};
use sha2::{Digest, Sha256};

/// Length of the file that is fetched: several chunks.
const BYTES: usize = 300_000;

fn content() -> Vec<u8> {
    (0..BYTES as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// What a server does with requests, by their number from 0.
type Answer = fn(usize, &Asked, &mut TcpStream);

/// A request.
struct Asked {
    path: String,
    /// The first byte that is asked for.
    from: Option<usize>,
}

/// A server, until the end of the test program.
struct Server {
    url: String,
    requests: Arc<AtomicUsize>,
}

impl Server {
    fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, count) = (stream.unwrap(), Arc::clone(&count));
                std::thread::spawn(move || {
                    let Some(asked) = read_request(&stream) else { return };
                    answer(count.fetch_add(1, Ordering::SeqCst), &asked, &mut stream);
                });
            }
        });
        Self { url, requests }
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn read_request(stream: &TcpStream) -> Option<Asked> {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let path = lines.next()?.ok()?.split(' ').nth(1)?.to_owned();
    let mut from = None;
    for line in lines.map_while(Result::ok).take_while(|line| !line.is_empty()) {
        let line = line.to_lowercase();
        if let Some(range) = line.strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse().ok();
        }
    }
    Some(Asked { path, from })
}

/// Status line, headers and body; the connection closes after it. A client that has left is none of its business.
fn send(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) {
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n");
    let _ =
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).and_then(|()| stream.flush());
}

fn whole(stream: &mut TcpStream, body: &[u8]) {
    send(stream, "200 OK", &format!("Content-Length: {}\r\n", body.len()), body);
}

/// As a good server answers.
fn good(_: usize, asked: &Asked, stream: &mut TcpStream) {
    match asked.from {
        None => whole(stream, &content()),
        Some(from) => {
            let headers = format!(
                "Content-Range: bytes {from}-{}/{BYTES}\r\nContent-Length: {}\r\n",
                BYTES - 1,
                BYTES - from
            );
            send(stream, "206 Partial Content", &headers, &content()[from..]);
        }
    }
}

fn set() -> Catalogued {
    let sum: String = Sha256::digest(content()).iter().map(|byte| format!("{byte:02x}")).collect();
    let file =
        Remote { name: "images-idx3-ubyte.gz", bytes: BYTES as u64, sha256: Box::leak(sum.into_boxed_str()) };
    Catalogued { name: "kmnist", mirrors: &[], files: vec![file], form: Form::Idx }
}

/// What came of a fetch from servers, and what was said on the way.
struct Fetched {
    result: anyhow::Result<()>,
    said: Vec<String>,
    folder: tempfile::TempDir,
}

impl Fetched {
    fn from(servers: &[&Server]) -> Self {
        Self::into(tempfile::tempdir().unwrap(), servers)
    }

    fn into(folder: tempfile::TempDir, servers: &[&Server]) -> Self {
        let request = Request {
            set: set(),
            folder: folder.path().to_owned(),
            mirrors: servers.iter().map(|server| server.url.clone()).collect(),
            patience: Duration::from_millis(700),
        };
        let mut said = Vec::new();
        let result = fetch(&request, &mut |step| match step {
            Step::Failed(_, why) => said.push(why.to_owned()),
            Step::Start(_, _, from) => said.push(format!("from {from}")),
            Step::Present(_) => said.push("present".to_owned()),
            _ => {}
        });
        Self { result, said, folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("images-idx3-ubyte.gz")
    }

    fn part(&self) -> PathBuf {
        self.folder.path().join("images-idx3-ubyte.gz.part")
    }

    /// Demands that the file is whole.
    fn succeeded(&self) {
        if let Err(error) = &self.result {
            panic!("{error}");
        }
        assert!(std::fs::read(self.file()).unwrap() == content());
        assert!(!self.part().exists());
    }

    /// Demands that there is no file, an exit code, and what each message says.
    fn failed(&self, code: u8, says: &str) {
        let error = self.result.as_ref().expect_err("cannot work");
        let message = error.to_string();
        assert_eq!(gpu_mnist::error::exit_code(error), code, "{message}");
        assert!(message.contains(says) && message.contains("--offline"), "{message}");
        assert!(self.said.iter().any(|line| line.contains(says)), "{:?}", self.said);
        assert!(!self.file().exists(), "half a file has the name of a whole one");
    }
}

#[test]
fn a_good_server_gives_the_file_and_is_not_asked_again() {
    let server = Server::start(good);
    let fetched = Fetched::from(&[&server]);
    fetched.succeeded();
    let again = Fetched::into(fetched.folder, &[&server]);
    again.succeeded();
    assert_eq!((server.requests(), again.said), (1, vec!["present".to_owned()]));
}

#[test]
fn refusals_are_told_and_the_next_mirror_is_asked() {
    for (status, says) in
        [("403 Forbidden", "answered 403 Forbidden"), ("404 Not Found", "answered 404 Not Found")]
    {
        let server = match status {
            "403 Forbidden" => {
                Server::start(|_, _, stream| send(stream, "403 Forbidden", "Content-Length: 0\r\n", b""))
            }
            _ => Server::start(|_, _, stream| send(stream, "404 Not Found", "Content-Length: 0\r\n", b"")),
        };
        Fetched::from(&[&server]).failed(1, says);
        assert_eq!(server.requests(), 1, "a refusal is not asked again");
        Fetched::from(&[&server, &Server::start(good)]).succeeded();
    }
}

#[test]
fn a_web_page_is_not_taken_for_the_file() {
    let page = |_: usize, _: &Asked, stream: &mut TcpStream| {
        let body = vec![b'a'; BYTES];
        let headers = format!("Content-Type: text/html; charset=utf-8\r\nContent-Length: {BYTES}\r\n");
        send(stream, "200 OK", &headers, &body);
    };
    let fetched = Fetched::from(&[&Server::start(page)]);
    fetched.failed(4, "sent a web page");
    assert!(!fetched.part().exists());
}

#[test]
fn wrong_bytes_of_the_right_length_are_thrown_away() {
    let wrong = |_: usize, _: &Asked, stream: &mut TcpStream| {
        let mut body = content();
        body[BYTES / 2] ^= 1;
        whole(stream, &body);
    };
    let server = Server::start(wrong);
    let fetched = Fetched::from(&[&server]);
    fetched.failed(4, "SHA-256");
    assert!(!fetched.part().exists());
    Fetched::from(&[&server, &Server::start(good)]).succeeded();
}

#[test]
fn another_length_is_refused_before_or_while_it_arrives() {
    let longer = |_: usize, _: &Asked, stream: &mut TcpStream| whole(stream, &[content(), vec![0]].concat());
    Fetched::from(&[&Server::start(longer)]).failed(4, "offers 300001 bytes");
    // Without a length, the end is where the connection closes.
    let unannounced = |_: usize, _: &Asked, stream: &mut TcpStream| {
        send(stream, "200 OK", "", &[content(), vec![0; 70_000]].concat());
    };
    Fetched::from(&[&Server::start(unannounced)]).failed(4, "more than the expected");
}

#[test]
fn a_short_body_is_kept_and_gone_on_with() {
    // Every answer ends 100,000 bytes after where it began.
    let short = |_: usize, asked: &Asked, stream: &mut TcpStream| {
        let from = asked.from.unwrap_or(0);
        let end = (from + 100_000).min(BYTES);
        let status = if from == 0 { "200 OK" } else { "206 Partial Content" };
        let headers = format!(
            "Content-Range: bytes {from}-{}/{BYTES}\r\nContent-Length: {}\r\n",
            BYTES - 1,
            BYTES - from
        );
        send(stream, status, &headers, &content()[from..end]);
    };
    let server = Server::start(short);
    let fetched = Fetched::from(&[&server]);
    fetched.succeeded();
    let starts: Vec<&String> = fetched.said.iter().filter(|line| line.starts_with("from")).collect();
    assert_eq!(starts, ["from 0", "from 100000", "from 200000"]);
}

#[test]
fn what_has_arrived_stays_for_the_next_time() {
    let short = |_: usize, asked: &Asked, stream: &mut TcpStream| {
        let headers = format!("Content-Length: {BYTES}\r\n");
        assert_eq!(asked.path, "/images-idx3-ubyte.gz");
        send(stream, "200 OK", &headers, &content()[..120_000]);
    };
    let fetched = Fetched::from(&[&Server::start(short)]);
    fetched.failed(1, "after 120000 of 300000 bytes");
    assert_eq!(std::fs::metadata(fetched.part()).unwrap().len(), 120_000);
    let again = Fetched::into(fetched.folder, &[&Server::start(good)]);
    again.succeeded();
    assert_eq!(again.said, ["from 120000"]);
}

#[test]
fn a_server_without_ranges_begins_anew() {
    let whole_only = |_: usize, _: &Asked, stream: &mut TcpStream| whole(stream, &content());
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("images-idx3-ubyte.gz.part"), vec![7; 1000]).unwrap();
    let fetched = Fetched::into(folder, &[&Server::start(whole_only)]);
    fetched.succeeded();
    assert_eq!(fetched.said, ["from 0"]);
}

#[test]
fn a_damaged_part_is_found_by_its_sum_and_fetched_anew() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("images-idx3-ubyte.gz.part"), vec![7; 1000]).unwrap();
    let server = Server::start(good);
    let fetched = Fetched::into(folder, &[&server, &server]);
    fetched.succeeded();
    assert_eq!((fetched.said[0].as_str(), fetched.said[2].as_str()), ("from 1000", "from 0"));
}

#[test]
fn a_stalled_body_is_left() {
    let stalled = |_: usize, _: &Asked, stream: &mut TcpStream| {
        send(stream, "200 OK", &format!("Content-Length: {BYTES}\r\n"), &content()[..5000]);
        // Says nothing more, and keeps the line open until the client leaves.
        let _ = stream.read(&mut [0; 1]);
        std::thread::sleep(Duration::from_secs(30));
    };
    let server = Server::start(stalled);
    Fetched::from(&[&server]).failed(1, "sent nothing more after 5000 of 300000 bytes");
    Fetched::from(&[&server, &Server::start(good)]).succeeded();
}

#[test]
fn a_server_that_does_not_answer_is_left() {
    let silent = |_: usize, _: &Asked, _: &mut TcpStream| std::thread::sleep(Duration::from_secs(30));
    Fetched::from(&[&Server::start(silent)]).failed(1, "timeout");
}

#[test]
fn a_redirect_is_followed_and_a_loop_of_them_is_not() {
    let once = |number: usize, asked: &Asked, stream: &mut TcpStream| match number {
        0 => send(stream, "302 Found", "Location: /elsewhere\r\nContent-Length: 0\r\n", b""),
        _ if asked.path == "/elsewhere" => whole(stream, &content()),
        _ => send(stream, "404 Not Found", "Content-Length: 0\r\n", b""),
    };
    Fetched::from(&[&Server::start(once)]).succeeded();
    let round = |_: usize, _: &Asked, stream: &mut TcpStream| {
        send(stream, "302 Found", "Location: /images-idx3-ubyte.gz\r\nContent-Length: 0\r\n", b"");
    };
    let server = Server::start(round);
    Fetched::from(&[&server]).failed(1, "redirect");
    assert!(server.requests() < 20);
}

#[test]
fn two_at_once_fetch_one_file() {
    let server = Server::start(good);
    let folder = tempfile::tempdir().unwrap();
    let request = Request {
        set: set(),
        folder: folder.path().to_owned(),
        mirrors: vec![server.url.clone()],
        patience: Duration::from_secs(5),
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| fetch(&request, &mut |_| {}))).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap().unwrap());
    });
    assert!(std::fs::read(folder.path().join("images-idx3-ubyte.gz")).unwrap() == content());
    assert_eq!(server.requests(), 1);
}

#[test]
fn offline_opens_no_socket_and_says_everything() {
    let server = Server::start(good);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("kmnist");
    let out = out.to_str().unwrap();
    let arguments = ["data", "fetch", "kmnist", "--offline", "--out", out, "--mirror", &server.url];
    let output = run(&arguments);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    let mirror = "https://codh.rois.ac.jp/kmnist/dataset/kmnist/";
    let sum = "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4";
    for part in ["train-images-idx3-ubyte.gz", "18,165,135", sum, mirror, &server.url, out, "missing"] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    let json = run(&[&arguments[..], &["--json"]].concat());
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&json["schema"], &json["complete"]), (&1.into(), &false.into()));
    assert_eq!(json["files"][0]["urls"][1], format!("{mirror}train-images-idx3-ubyte.gz"));
    assert_eq!(server.requests(), 0);
    assert!(!Path::new(out).exists(), "offline makes no folder for nothing");
}

/// The same through `strace`, which sees every socket; said aloud where it is not installed.
#[test]
fn offline_connects_to_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("calls");
    let mut command = std::process::Command::new("strace");
    command.args(["-f", "-e", "trace=socket,connect", "-o"]).arg(&log);
    command.arg(env!("CARGO_BIN_EXE_gpu-mnist")).args(["data", "fetch", "emnist", "--offline"]);
    match command.current_dir(folder.path()).output() {
        Ok(output) if output.status.success() => {
            let calls = std::fs::read_to_string(log).unwrap();
            assert!(!calls.contains("socket(") && !calls.contains("connect("), "{calls}");
        }
        other => println!("NOT TESTED: strace cannot trace here ({:?})", other.map(|output| output.status)),
    }
}

#[test]
fn wrong_names_and_addresses_are_refused() {
    for (arguments, says) in [
        (&["data", "fetch", "mnits"][..], "fashion-mnist"),
        (&["data", "fetch", "mnist", "--mirror", "ftp://there/"][..], "https://"),
        (&["data", "fetch", "mnist", "--timeout", "0"][..], "--timeout"),
    ] {
        let output = run(arguments);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains(says), "{message}");
    }
}

/// Small files in the place of the published ones: what happens once they are there, and whether the result can be read.
#[test]
fn qmnist_labels_become_idx_and_are_verified() {
    let folder = tempfile::tempdir().unwrap();
    let files = [("train", 3_u32), ("test", 2)].map(|(split, rows)| {
        let words = [&[0x0c02, rows, 8][..], &(0..8 * rows).collect::<Vec<_>>()].concat();
        let bytes: Vec<u8> = words.iter().flat_map(|word: &u32| word.to_be_bytes()).collect();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&bytes).unwrap();
        let packed = encoder.finish().unwrap();
        let name: &'static str = Box::leak(format!("qmnist-{split}-labels-idx2-int.gz").into_boxed_str());
        std::fs::write(folder.path().join(name), &packed).unwrap();
        let sum: String = Sha256::digest(&packed).iter().map(|byte| format!("{byte:02x}")).collect();
        Remote { name, bytes: packed.len() as u64, sha256: Box::leak(sum.into_boxed_str()) }
    });
    let set = Catalogued { name: "qmnist", mirrors: &[], files: files.to_vec(), form: Form::Qmnist };
    let request =
        Request { set, folder: folder.path().to_owned(), mirrors: vec![], patience: Duration::from_secs(1) };
    fetch(&request, &mut |_| {}).unwrap();
    let made = folder.path().join("qmnist-train-labels-idx1-ubyte");
    assert_eq!(std::fs::read(&made).unwrap(), [0, 0, 8, 1, 0, 0, 0, 3, 0, 8, 16]);
    let verdict = |name: &str| {
        let checked = verify(folder.path().to_str().unwrap()).unwrap();
        checked.into_iter().find(|one| one.name == name).unwrap().verdict
    };
    assert_eq!(verdict("qmnist-train-labels-idx1-ubyte"), Verdict::Listed);
    std::fs::write(made, [0, 0, 8, 1, 0, 0, 0, 3, 0, 8, 17]).unwrap();
    assert!(matches!(verdict("qmnist-train-labels-idx1-ubyte"), Verdict::Damaged { .. }));
}

/// The archive has folders for six sets, and a file that is none of them.
#[test]
fn emnist_is_unpacked_into_a_folder_for_each_set() {
    let folder = tempfile::tempdir().unwrap();
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    let splits = ["balanced", "byclass", "bymerge", "digits", "letters", "mnist"];
    for (number, split) in splits.iter().enumerate() {
        let label = number as u8;
        for part in ["train", "test"] {
            let images = [&[0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2][..], &[1, 2, 3, label]].concat();
            let labels = vec![0, 0, 8, 1, 0, 0, 0, 1, label];
            for (kind, bytes) in [("images-idx3", images), ("labels-idx1", labels)] {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(&bytes).unwrap();
                zip.start_file(format!("gzip/emnist-{split}-{part}-{kind}-ubyte.gz"), options).unwrap();
                zip.write_all(&encoder.finish().unwrap()).unwrap();
            }
        }
    }
    zip.start_file("gzip/../../evil", options).unwrap();
    let archive = zip.finish().unwrap().into_inner();
    std::fs::write(folder.path().join("gzip.zip"), &archive).unwrap();
    let sum: String = Sha256::digest(&archive).iter().map(|byte| format!("{byte:02x}")).collect();
    let file =
        Remote { name: "gzip.zip", bytes: archive.len() as u64, sha256: Box::leak(sum.into_boxed_str()) };
    let set = Catalogued { name: "emnist", mirrors: &[], files: vec![file], form: Form::Emnist };
    let request =
        Request { set, folder: folder.path().to_owned(), mirrors: vec![], patience: Duration::from_secs(1) };
    fetch(&request, &mut |_| {}).unwrap();
    for (number, split) in splits.iter().enumerate() {
        let path = folder.path().join(split);
        let data = gpu_mnist::data::DataSet::load(path.to_str().unwrap()).unwrap();
        assert_eq!((data.train.labels, data.test.images.pixels[3]), (vec![number as u8], number as u8));
        let checked = verify(path.to_str().unwrap()).unwrap();
        assert!(
            checked.len() == 4 && checked.iter().all(|one| one.verdict == Verdict::Listed),
            "{checked:?}"
        );
    }
}
