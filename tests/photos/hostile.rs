//! Pictures that nobody would take, and files made to break a decoder.

use anyhow::Result;
use gpu_mnist::error::exit_code;
use gpu_mnist::predict::{Invert, Options, Picture, decode, prepare, read};
use gpu_mnist::rng::{Purpose, Stream};
use image::GrayImage;
use proptest::prelude::*;

/// Every combination of options.
fn all_options() -> impl Iterator<Item = Options> {
    [Invert::Auto, Invert::Yes, Invert::No]
        .into_iter()
        .flat_map(|invert| [false, true].map(|multi| Options { invert, multi, ..Options::default() }))
}

/// Prepares a picture in every way; a refusal must be that of a bad file.
fn try_all(width: usize, height: usize, pixels: &[u8]) {
    let picture = Picture::from_gray(width, height, pixels).expect("sizes agree");
    for options in all_options() {
        match prepare(&picture, &options, Some(&mut Vec::new())) {
            Ok(digits) => {
                assert!(!digits.is_empty());
                for digit in digits {
                    assert_eq!(digit.pixels.len(), 784);
                    let (x, y, w, h) = digit.bounds;
                    assert!(x + w <= width as u32 && y + h <= height as u32 && w > 0 && h > 0);
                }
            }
            Err(error) => assert_eq!(exit_code(&error), 4, "{error}"),
        }
    }
}

#[test]
fn degenerate_pictures_are_refused_or_read_but_never_break() {
    for (width, height) in [
        (1, 1),
        (1, 2),
        (2, 1),
        (3, 3),
        (27, 28),
        (28, 28),
        (29, 28),
        (10_000, 1),
        (1, 10_000),
        (5000, 3),
        (64, 64),
        (63, 200),
    ] {
        let len = width * height;
        try_all(width, height, &vec![0; len]);
        try_all(width, height, &vec![255; len]);
        let stream = Stream::new(1, Purpose::Test, width as u32, height as u32);
        let noise: Vec<u8> = (0..len).map(|i| stream.word(i as u32) as u8).collect();
        try_all(width, height, &noise);
        let checks: Vec<u8> = (0..len).map(|i| ((i % width + i / width) % 2 * 255) as u8).collect();
        try_all(width, height, &checks);
        let ramp: Vec<u8> = (0..len).map(|i| (i * 255 / len) as u8).collect();
        try_all(width, height, &ramp);
        let mut dot = vec![255; len];
        dot[len / 2] = 0;
        try_all(width, height, &dot);
        let halves: Vec<u8> = (0..len).map(|i| if i % width * 2 < width { 0 } else { 255 }).collect();
        try_all(width, height, &halves);
    }
}

#[test]
fn one_colour_noise_and_texture_are_refused() -> Result<()> {
    let stream = Stream::new(2, Purpose::Test, 0, 0);
    let pictures: [(&str, &dyn Fn(usize) -> u8); 5] = [
        ("black", &|_| 0),
        ("white", &|_| 255),
        ("grey", &|_| 128),
        ("noise", &|i| stream.word(i as u32) as u8),
        ("chequers", &|i| ((i % 300 / 10 + i / 300 / 10) % 2 * 255) as u8),
    ];
    for (name, pixel) in pictures {
        let pixels: Vec<u8> = (0..300 * 200).map(pixel).collect();
        for options in all_options().filter(|options| options.invert == Invert::Auto) {
            let error = prepare(&Picture::from_gray(300, 200, &pixels)?, &options, None);
            assert_eq!(error.map_err(|error| exit_code(&error)).err(), Some(4), "{name}");
        }
    }
    Ok(())
}

#[test]
fn a_page_of_text_is_crowded() -> Result<()> {
    let page = GrayImage::from_fn(900, 900, |x, y| {
        let stroke = (x % 45).abs_diff(20) < 3 && (y % 60).abs_diff(30) < 15;
        image::Luma([if stroke { 20 } else { 240 }])
    });
    let picture = Picture::from_gray(900, 900, page.as_raw())?;
    for options in all_options() {
        let error = prepare(&picture, &options, None).expect_err("300 shapes").to_string();
        assert!(options.invert == Invert::No || error.contains("crowded"), "{error}");
    }
    Ok(())
}

/// Refused with exit code 4.
fn refused(what: &str, bytes: &[u8]) -> String {
    let error = decode(bytes).expect_err(what);
    assert_eq!(exit_code(&error), 4, "{what}: {error}");
    error.to_string()
}

fn good_files() -> Vec<(&'static str, Vec<u8>)> {
    let picture = image::RgbImage::from_fn(60, 40, |x, y| image::Rgb([x as u8 * 4, y as u8 * 6, 99]));
    [image::ImageFormat::Png, image::ImageFormat::Jpeg, image::ImageFormat::Bmp, image::ImageFormat::WebP]
        .map(|format| {
            let mut bytes = std::io::Cursor::new(Vec::new());
            picture.write_to(&mut bytes, format).expect("memory takes it");
            (format.extensions_str()[0], bytes.into_inner())
        })
        .to_vec()
}

#[test]
fn what_is_no_picture_is_refused() {
    assert!(refused("nothing", b"").contains("expected PNG, JPEG, WebP or BMP"));
    let text = refused("text", b"not a picture at all, but long enough to look for a signature in it");
    assert!(text.contains("(a text file)"), "{text}");
    let heic = refused("a HEIC", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic");
    assert!(heic.contains("(a HEIC photo), expected PNG"), "{heic}");
    refused("a signature alone", b"\x89PNG\r\n\x1a\n");
    refused("a GIF", b"GIF89a\x01\0\x01\0\0\0\0;");
}

#[test]
fn files_cut_short_are_refused_or_read_in_part() {
    for (name, bytes) in good_files() {
        for end in 0..bytes.len() {
            // Decoders may fill in the rest of a JPEG; they may not break.
            if let Err(error) = decode(&bytes[..end]) {
                assert_eq!(exit_code(&error), 4, "{name} {end}: {error}");
            } else {
                assert!(end * 2 > bytes.len() || name == "jpg", "{name} {end}");
            }
        }
    }
}

/// A PNG whose header promises `width` x `height`, with the right checksum.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut chunk = b"IHDR".to_vec();
    chunk.extend(width.to_be_bytes());
    chunk.extend(height.to_be_bytes());
    chunk.extend([8, 6, 0, 0, 0]);
    let mut crc = !0_u32;
    for &byte in &chunk {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 * (crc & 1));
        }
    }
    [
        b"\x89PNG\r\n\x1a\n\0\0\0\x0d".as_slice(),
        &chunk,
        &(!crc).to_be_bytes(),
        b"\0\0\0\0IDAT\x35\xaf\x06\x1e",
    ]
    .concat()
}

#[test]
fn sizes_in_headers_are_checked_before_memory_is_taken() {
    for (width, height) in [(0x7FFF_FFFF, 0x7FFF_FFFF), (65_535, 65_535), (1, 0x7FFF_FFFF), (9000, 9000)] {
        let text = refused("a huge PNG", &png_header(width, height));
        assert!(text.contains("save"), "{text}");
    }
    refused("an empty PNG", &png_header(0, 10));
    for (name, mut bytes) in good_files() {
        match name {
            "bmp" => bytes[18..26].copy_from_slice(&[0xFF, 0xFF, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0x7F]),
            "jpg" => {
                let at = bytes.windows(2).position(|w| w[0] == 0xFF && w[1] == 0xC0).expect("is baseline");
                bytes[at + 5..at + 9].copy_from_slice(&[0xFF; 4]);
            }
            _ => continue,
        }
        refused(name, &bytes);
    }
}

#[test]
fn a_file_is_refused_by_name() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("three.png");
    std::fs::write(&path, b"\x89PNG\r\n\x1a\nnot really")?;
    for path in [path, folder.path().to_owned(), folder.path().join("none.png")] {
        let error = read(&path).expect_err("is no picture");
        assert_eq!(exit_code(&error), 4);
        assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_small_picture_breaks_anything(width in 1_usize..70, height in 1_usize..70, seed: u64, kind in 0_u32..4) {
        let stream = Stream::new(seed, Purpose::Test, kind, 0);
        let pixels: Vec<u8> = (0..width * height)
            .map(|i| {
                let word = stream.word(i as u32);
                match kind {
                    0 => word as u8,
                    1 => if word.is_multiple_of(10) { 0 } else { 255 },
                    2 => if word.is_multiple_of(3) { 250 } else { 5 },
                    _ => (stream.word((i / width / 5 * 100 + i % width / 5) as u32) % 2 * 255) as u8,
                }
            })
            .collect();
        try_all(width, height, &pixels);
    }

    #[test]
    fn no_bytes_break_the_decoder(file in 0_usize..4, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20)) {
        let mut bytes = good_files().swap_remove(file).1;
        for (index, value) in changes {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        if let Err(error) = decode(&bytes) {
            prop_assert_eq!(exit_code(&error), 4);
        }
    }
}
