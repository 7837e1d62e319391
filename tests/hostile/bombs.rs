//! Files of 10 MB that would unpack to 10 GB, or make a reader work for ever: refused within a second and 64
//! MiB.
//!
//! Each is read in a process of its own, this program again with one ignored test, so that its memory can be
//! measured.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use gpu_mnist::data::{idx, npz};
use gpu_mnist::error::exit_code;

use crate::pack::{self, Member, deflate_bomb, gzip, gzip_bomb, npy_with_header};

/// Tells the process that measures which file to read.
const FILE: &str = "GPU_MNIST_TEST_BOMB";
/// 16 MiB each: 10 GiB unpacked.
const REPEATS: usize = 640;
const TIME: Duration = Duration::from_secs(1);
const MEMORY: u64 = 64 << 20;

/// Not a test of its own: what the measured process does.
#[test]
#[ignore = "started by the other tests of this file, with a file to read"]
fn reads_the_file_and_reports() {
    let Ok(file) = std::env::var(FILE) else { return };
    let path = Path::new(&file);
    let start = Instant::now();
    let result =
        if file.ends_with(".npz") { npz::load(path).map(|_| ()) } else { idx::read_images(path).map(|_| ()) };
    let seconds = start.elapsed().as_secs_f64();
    let error = result.expect_err("must be refused");
    println!("REPORT {seconds} {} {} {error:#}", peak_memory().unwrap_or(0), exit_code(&error));
}

/// The most memory this process ever held, in bytes; only Linux tells.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

fn must_be_refused(name: &str, bytes: &[u8], fragment: &str) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join(name);
    std::fs::write(&path, bytes)?;
    let output = Command::new(std::env::current_exe()?)
        .args([
            "--exact",
            "bombs::reads_the_file_and_reports",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(FILE, &path)
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let report = text.lines().find_map(|line| line.split_once("REPORT ")).map(|(_, report)| report);
    let report =
        report.unwrap_or_else(|| panic!("no report: {text}{}", String::from_utf8_lossy(&output.stderr)));
    let fields: Vec<&str> = report.splitn(4, ' ').collect();
    let [seconds, memory, code, message] = fields[..] else { panic!("{report}") };
    println!("{name}, {} bytes: {seconds} s, {memory} bytes of memory: {message}", bytes.len());
    assert!(message.contains(fragment), "{message}");
    assert_eq!(code, "4");
    assert!(seconds.parse::<f64>()? <= TIME.as_secs_f64(), "{report}");
    assert!(memory.parse::<u64>()? <= MEMORY, "{report}");
    Ok(())
}

#[test]
fn a_gzip_bomb_that_admits_its_size() -> anyhow::Result<()> {
    let images = ((REPEATS << 24) / 784) as u32;
    must_be_refused(
        "a-idx3-ubyte.gz",
        &gzip_bomb(&pack::idx(&[images, 28, 28], &[]), REPEATS),
        "which cannot come out",
    )
}

#[test]
fn a_gzip_bomb_that_claims_to_be_mnist() -> anyhow::Result<()> {
    let bomb = gzip_bomb(&pack::idx(&[60_000, 28, 28], &[]), REPEATS);
    assert!((10_000_000..12_000_000).contains(&bomb.len()), "{}", bomb.len());
    must_be_refused("a-idx3-ubyte.gz", &bomb, "more than 100 to 1")
}

#[test]
fn a_gzip_bomb_that_claims_as_much_as_is_believed() -> anyhow::Result<()> {
    must_be_refused(
        "a-idx3-ubyte.gz",
        &gzip_bomb(&pack::idx(&[1_000_000, 32, 32], &[]), REPEATS),
        "more than 100 to 1",
    )
}

#[test]
fn a_gzip_bomb_that_claims_one_image() -> anyhow::Result<()> {
    must_be_refused(
        "a-idx3-ubyte.gz",
        &gzip_bomb(&pack::idx(&[1, 28, 28], &[]), REPEATS),
        "data go on after the 784",
    )
}

#[test]
fn half_a_million_gzip_members_of_nothing() -> anyhow::Result<()> {
    let mut bytes = gzip(&pack::idx(&[1, 1, 1], &[]));
    let nothing = gzip(&[]);
    bytes.extend(std::iter::repeat_n(&nothing[..], 500_000).flatten());
    must_be_refused("a-idx3-ubyte.gz", &bytes, "promises 1 bytes of data, found 0")
}

#[test]
fn a_zip_bomb() -> anyhow::Result<()> {
    let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (60000, 28, 28), }";
    let (packed, crc) = deflate_bomb(&npy_with_header(1, header, &[]), REPEATS);
    let mut members = pack::good_members();
    let unpacked = 128 + 47_040_000;
    members[0] = Member { name: "x_train.npy".to_owned(), method: 8, flags: 0, crc, unpacked, packed };
    must_be_refused("a.npz", &pack::zip(&members), "x_train.npy: 16777216 bytes came out of")
}

#[test]
fn a_zip_of_as_many_members_as_fit() -> anyhow::Result<()> {
    let members: Vec<Member> = (0..65_000).map(|i| Member::stored(&format!("{i:060}"), &[])).collect();
    must_be_refused("a.npz", &pack::zip(&members), "and 64980 more")
}

/// The bomb must be one: what is refused is well-formed gzip of the length it should have.
#[test]
fn the_bomb_is_sound() {
    use std::io::Read;
    let mut unpacked = Vec::new();
    let bomb = gzip_bomb(b"start", 3);
    flate2::read::GzDecoder::new(&bomb[..])
        .read_to_end(&mut unpacked)
        .expect("is gzip with the right checksum");
    assert_eq!(unpacked.len(), 5 + (48 << 20));
    assert!(unpacked.starts_with(b"start\0\0"));
}
