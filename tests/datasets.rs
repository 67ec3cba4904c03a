//! The data of the examples is read as it was written: sizes, ranges, and checksums of whole arrays.

#[path = "../examples/datasets.rs"]
mod datasets;

use datasets::Rows;
use eggrad::formats::{Table, Vocabulary, gunzip};
use sha2::{Digest, Sha256};

fn hash(bytes: impl IntoIterator<Item = u8>) -> String {
    let bytes: Vec<u8> = bytes.into_iter().collect();
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Compares shape and checksums of features, by `bytes`, and of labels as bytes.
fn check(rows: &Rows, shape: &[usize], features: &str, labels: &str, bytes: fn(f32) -> Vec<u8>) {
    assert_eq!(rows.shape, shape);
    assert_eq!(hash(rows.features.iter().flat_map(|&v| bytes(v))), features);
    assert_eq!(hash(rows.labels.iter().map(|&label| label as u8)), labels);
}

#[test]
fn mnist() {
    let (train, test) = datasets::mnist().expect("reads");
    let pixel = |v: f32| vec![(v * 255.0).round() as u8];
    check(
        &train,
        &[8000, 28, 28],
        "e445a5f14745265b8c526b33083409f46bc547d819793edb4b713ec37babc133",
        "aedf35801081a1b2c328b0540e0cf55223b8c0b185eb6686973c71f220ce44b6",
        pixel,
    );
    check(
        &test,
        &[2000, 28, 28],
        "7c14bcfd98a1c9dfe26a20233f6eebe1e49c444b899e8cfa4e0c4cafebcbcd2f",
        "9de9e0b3d946049f6e454364119828a86dd92f9010de27a08c7100b47448aab2",
        pixel,
    );
    assert_eq!((train.rows(), test.rows()), (8000, 2000));
    assert!(train.features.iter().all(|pixel| (0.0..=1.0).contains(pixel)));
    // How often each digit occurs in both parts together.
    let count = |digit| train.labels.iter().chain(&test.labels).filter(|&&l| l == digit).count();
    let counts: Vec<usize> = (0..10).map(count).collect();
    assert_eq!(counts, [1001, 1127, 991, 1032, 980, 863, 1014, 1070, 944, 978]);
}

#[test]
fn ecg_and_yeast() {
    let float = |v: f32| v.to_le_bytes().to_vec();
    let (train, test) = datasets::ecg().expect("reads");
    check(
        &train,
        &[600, 100],
        "0645d55d39cf7a0d5b68385ebe8dfe49f6d74e1d65559f93b122e2e6221fd814",
        "efd2b72b17b9305273436728f1a5ea0f20082a06b061567f8c51c117c9f76a4b",
        float,
    );
    check(
        &test,
        &[400, 100],
        "4c81f4c8e1332b4e5905a1433c50fede6aa405cddaad88c4d3360b19970670cf",
        "f29badd231e9a0e1f3bd1c833f9245000d070aa618f7656c07c35e82eca807ef",
        float,
    );
    let (train, test) = datasets::yeast().expect("reads");
    check(
        &train,
        &[1500, 103],
        "00799b69834279a63be9838748c7955e50a5007718f2a3d2d89d3457440af67a",
        "f813e081569b28257a3f9a1358532c8d3d23235005c24c2c92bd14dbe85acfc2",
        float,
    );
    check(
        &test,
        &[917, 103],
        "9b392553a604c78e397466128609812cf01ba67fd12815cbd4bcc1baabc91e4e",
        "50b97bbca35b51eee5cddb9dbff42bc99dc0b5c89b1eaad9077e54cf2c76ce2f",
        float,
    );
}

#[test]
fn tables() {
    let coffee = datasets::coffee().expect("reads");
    assert_eq!(coffee.shape, [200, 2]);
    let labels = hash(coffee.labels.iter().map(|&label| label as u8));
    assert_eq!(labels, "a66faf9ebcb1dcd469389b11c1bbdbe3a294abefe5a8fe37f6545cb56ac7c858");
    assert_eq!(coffee.labels.iter().filter(|&&good| good == 1).count(), 50);

    let diabetes = datasets::diabetes().expect("reads");
    assert_eq!(diabetes.columns.join(" "), "age sex bmi bp s1 s2 s3 s4 s5 s6");
    assert_eq!((diabetes.features.len(), diabetes.targets.len()), (4420, 442));
    // All digits of the text, which are those of 64 bits.
    let bytes = include_bytes!("../data/diabetes.csv.gz");
    let table = Table::read(&gunzip(bytes, 1 << 20).expect("unpacks")).expect("a table");
    let column = |name: &str| -> Vec<f64> {
        let texts = table.texts(name).expect("a column");
        texts.iter().map(|text| text.parse().expect("a number")).collect()
    };
    let columns: Vec<Vec<f64>> = diabetes.columns.iter().map(|name| column(name)).collect();
    let rows = (0..442).flat_map(|row| columns.iter().map(move |column| column[row]));
    assert_eq!(
        hash(rows.flat_map(f64::to_le_bytes)),
        "6b93b2556c8942c79d8374838768047adf9d1f4044510b9f948ddace62567d75"
    );
    assert_eq!(
        hash(column("target").into_iter().flat_map(f64::to_le_bytes)),
        "4911e8747aff95aa1cd523fea86dd91cfd1cd14c1a8ead274f1913b14fa853c4"
    );
}

#[test]
fn texts() {
    let names = datasets::first_names().expect("reads");
    assert_eq!(names.len(), 5163);
    assert!(names.iter().all(|n| !n.is_empty() && n.chars().all(|c| c.is_ascii_lowercase())));
    let text = datasets::moby_dick().expect("reads");
    assert_eq!(text.chars().count(), 199_989);
    assert_eq!(
        hash(text.bytes()),
        "ebeeb9ca724b5856a890fa6240cb36c2cd598468d6f9fcfe29f171de78662d4d"
    );
    let characters = Vocabulary::of(&text);
    assert_eq!(characters.len(), 78);
    let numbers = characters.encode(&text).expect("its own characters");
    assert_eq!(characters.decode(&numbers).expect("its own numbers"), text);
}
