//! Real disks that are full, limited or read-only. A small file system of one's own needs root; where that is not to be had,
//! the test says so, and the planted faults stand in for it.

use crate::scene::{Scene, check_failure, error_text, names};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system in memory, gone with this value.
struct Mount(PathBuf);

impl Mount {
    fn new(path: PathBuf, bytes: usize) -> Option<Self> {
        std::fs::create_dir(&path).unwrap();
        let size = format!("size={bytes}");
        let output = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&path).output();
        match output {
            Ok(output) if output.status.success() => Some(Self(path)),
            Ok(output) => {
                println!("SKIPPED, a file system of one's own needs root: {}", error_text(&output));
                None
            }
            Err(error) => {
                println!("SKIPPED, cannot run mount: {error}");
                None
            }
        }
    }

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        assert!(Command::new("mount").args(["-o", &options]).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_costs_no_more_than_an_interval() {
    // The checkpoint and the model have about 200 kB each.
    let scene = Scene::new(2, 360);
    let (mut full, mut enough) = (0, 0);
    for kib in [4, 8, 16, 32, 100, 200, 300, 400, 420, 440, 500, 600, 700, 1000, 64_000] {
        let what = format!("{kib} KiB");
        let Some(disk) = Mount::new(scene.path(&format!("disk-{kib}")), kib << 10) else { return };
        let out = disk.0.join("run");
        let output = scene.train(&out).output().unwrap();
        if output.status.success() {
            enough += 1;
            scene.check_results(&out, &what);
            continue;
        }
        full += 1;
        check_failure(&output, &what);
        assert!(error_text(&output).contains("No space left on device"), "{}", error_text(&output));
        assert_eq!(scene.litter(&out), Vec::<String>::new(), "{what}");
        scene.check_checkpoint(&out, &what);
        disk.remount("size=64m");
        scene.check_end(&out, &what);
    }
    println!("{full} disks were full, {enough} sufficed");
    assert!(full > 5 && enough > 0);
}

#[test]
fn a_read_only_folder_is_refused_and_left_as_it_is() {
    let scene = Scene::new(2, 24);
    let Some(disk) = Mount::new(scene.path("disk"), 16 << 20) else { return };
    let out = disk.0.join("run");
    let killed = scene.train(&out).env("GPU_MNIST_PLANT_DISK_FAULT", "kill:45").output().unwrap();
    assert_eq!(killed.status.code(), Some(137));
    let before = names(&out);
    disk.remount("ro");
    for mut command in [scene.train(&disk.0.join("other")), scene.go_on(&out)] {
        let output = command.output().unwrap();
        check_failure(&output, "read-only");
        assert!(error_text(&output).contains("Read-only file system"), "{}", error_text(&output));
    }
    assert_eq!(names(&out), before);
    scene.check_checkpoint(&out, "read-only");
    disk.remount("rw");
    scene.check_end(&out, "read-only");
}

/// Users other than root are refused by the rights of the folder; root becomes another user.
#[test]
fn a_folder_without_the_right_to_write_is_refused() {
    let scene = Scene::new(2, 24);
    let folder = scene.path("closed");
    std::fs::create_dir(&folder).unwrap();
    set_rights(&folder, 0o555);
    let mut train = scene.train(&folder.join("run"));
    if std::fs::write(folder.join("probe"), "").is_ok() {
        train = as_nobody(&scene, &train);
    }
    let output = train.output().unwrap();
    check_failure(&output, "closed");
    assert!(error_text(&output).contains("Permission denied"), "{}", error_text(&output));
}

fn set_rights(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// The same command by the user without rights, for whom the program must lie where everyone may go.
fn as_nobody(scene: &Scene, command: &Command) -> Command {
    const NOBODY: u32 = 65534;
    let program = scene.path("program");
    std::fs::copy(command.get_program(), &program).unwrap();
    set_rights(&program, 0o755);
    set_rights(&scene.path("."), 0o755);
    let mut of_nobody = Command::new(program);
    of_nobody.args(command.get_args()).env_remove("GPU_MNIST_BACKEND").env_remove("GPU_MNIST_DATA_DIR");
    of_nobody.uid(NOBODY).gid(NOBODY);
    of_nobody
}

/// Without care, a process that goes beyond the limit is killed by SIGXFSZ.
#[test]
fn a_limit_on_the_size_of_files_costs_no_more_than_an_interval() {
    let scene = Scene::new(2, 360);
    let (mut limited, mut enough) = (0, 0);
    for blocks in [0, 1, 2, 4, 8, 100, 250, 350, 400, 500, 10_000] {
        let what = format!("{blocks} blocks");
        let out = scene.path(&what);
        let train = scene.train(&out);
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -f {blocks} && exec \"$0\" \"$@\"")]).arg(train.get_program());
        let output = command.args(train.get_args()).output().unwrap();
        if output.status.success() {
            enough += 1;
            scene.check_results(&out, &what);
            continue;
        }
        limited += 1;
        // Root may have no rights in a container, but the limit holds for root too.
        check_failure(&output, &what);
        assert!(error_text(&output).contains("File too large"), "{}", error_text(&output));
        assert_eq!(scene.litter(&out), Vec::<String>::new(), "{what}");
        scene.check_checkpoint(&out, &what);
        scene.check_end(&out, &what);
    }
    println!("{limited} limits were too low, {enough} sufficed");
    assert!(limited > 5 && enough > 0);
}
