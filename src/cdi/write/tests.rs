use std::fs;
use std::path::Path;

use super::super::{parse, simplify};
use super::*;

fn read(name: &str, text: &str) -> Spec {
    parse(Path::new(name), text.as_bytes()).unwrap_or_else(|err| panic!("{err}: {text}"))
}

#[test]
fn specs_of_the_toolkit_are_written_as_they_were() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/cdi");
    for (name, format) in [
        ("full-2gpu.yaml", Format::Yaml),
        ("full-mig.yaml", Format::Yaml),
        ("small-2gpu.yaml", Format::Yaml),
        ("small-mig.yaml", Format::Yaml),
        ("small-2gpu.json", Format::Json),
        ("small-mig.json", Format::Json),
    ] {
        let text = fs::read_to_string(Path::new(folder).join(name)).unwrap();
        let mut spec = read(name, &text);
        assert_eq!(to_text(&spec, format), text, "{name}");
        simplify(&mut spec);
        assert_eq!(to_text(&spec, format), text, "{name} is simple");
    }
}

#[test]
fn quotes_are_those_of_go_yaml() {
    for (text, written) in [
        ("0.7.0", "0.7.0"),
        ("/dev/a:b", "/dev/a:b"),
        ("a#b", "a#b"),
        ("-x", "-x"),
        ("GPU-0", "GPU-0"),
        ("0:0:x", "0:0:x"),
        ("1e", "1e"),
        ("0xg", "0xg"),
        ("..", ".."),
        ("_1", "_1"),
        ("ä\u{a0}", "ä\u{a0}"),
        ("2001-1", "2001-1"),
        ("0", "\"0\""),
        ("0755", "\"0755\""),
        ("-1_000", "\"-1_000\""),
        ("0x1F", "\"0x1F\""),
        ("0o7", "\"0o7\""),
        ("0b1", "\"0b1\""),
        ("1.", "\"1.\""),
        (".5e-3", "\".5e-3\""),
        ("1E5", "\"1E5\""),
        ("570.1", "\"570.1\""),
        ("0:0", "\"0:0\""),
        ("0000:01:00.0", "\"0000:01:00.0\""),
        ("2001-01-02", "\"2001-01-02\""),
        ("2001-1-2t3:4:5Z", "\"2001-1-2t3:4:5Z\""),
        ("", "\"\""),
        ("~", "\"~\""),
        ("y", "\"y\""),
        ("OFF", "\"OFF\""),
        (".NaN", "\".NaN\""),
        ("-.inf", "\"-.inf\""),
        ("<<", "\"<<\""),
        ("a\tb", "\"a\\tb\""),
        ("a\nb", "\"a\\nb\""),
        ("\u{7f}\u{85}\u{feff}😀", "\"\\x7F\\N\\uFEFF\\U0001F600\""),
        ("\u{2028}", "\"\\L\""),
        ("@/sbin/ldconfig", "'@/sbin/ldconfig'"),
        ("- x", "'- x'"),
        ("-", "'-'"),
        ("?", "'?'"),
        ("a: b", "'a: b'"),
        ("a:", "'a:'"),
        ("a #b", "'a #b'"),
        (" a", "' a'"),
        ("a ", "'a '"),
        ("--- a", "'--- a'"),
        ("it's #1: ", "'it''s #1: '"),
        ("'a'", "'''a'''"),
        ("\"a", "'\"a'"),
    ] {
        assert_eq!(scalar::scalar(text), written);
    }
}

#[test]
fn json_is_that_of_go() {
    let spec = Spec {
        kind: "<&>\u{2028}\u{7f}\u{1}\n\"ä".into(),
        ..Spec::default()
    };
    assert_eq!(
        to_text(&spec, Format::Json),
        "{\"cdiVersion\":\"\",\"kind\":\"\\u003c\\u0026\\u003e\\u2028\u{7f}\\u0001\\n\\\"ä\",\"devices\":[],\"containerEdits\":{}}"
    );
}

/// A generator of random specs with unusual strings, the same in each run: xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }

    fn text(&mut self) -> String {
        const PIECES: [&str; 40] = [
            "", " ", "\t", "\n", "\r", "\0", "-", "?", ":", "#", ",", "[", "]", "{", "}", "&", "*",
            "!", "|", ">", "'", "\"", "%", "@", "`", "\\", "0", "x", "_", ".", "e", "~", "null",
            "yes", "<<", "=", "\u{85}", "\u{2028}", "\u{feff}", "😀",
        ];
        let length = self.below(6);
        (0..length).map(|_| PIECES[self.below(40)]).collect()
    }

    fn some<T>(&mut self, make: impl Fn(&mut Self) -> T) -> Vec<T> {
        let length = self.below(3);
        (0..length).map(|_| make(self)).collect()
    }

    fn annotations(&mut self) -> BTreeMap<String, String> {
        let pair = |it: &mut Self| (it.text().repeat(1 + it.below(40)), it.text());
        self.some(pair).into_iter().collect()
    }

    fn u32(&mut self) -> u32 {
        u32::try_from(self.below(1 << 32)).unwrap()
    }

    fn edits(&mut self) -> ContainerEdits {
        ContainerEdits {
            env: self.some(Self::text),
            device_nodes: self.some(|it| DeviceNode {
                path: it.text(),
                host_path: Some(it.text()).filter(|path| !path.is_empty()),
                kind: it.text(),
                major: it.below(3) as u64,
                minor: u64::from(it.u32()),
                file_mode: it.some(Self::u32).pop(),
                permissions: it.text(),
                uid: it.some(Self::u32).pop(),
                gid: Some(0),
            }),
            net_devices: self.some(|it| NetDevice {
                host_interface_name: it.text(),
                name: it.text(),
            }),
            hooks: self.some(|it| Hook {
                hook_name: it.text(),
                path: it.text(),
                args: it.some(Self::text),
                env: it.some(Self::text),
                timeout: it.some(|it| i64::from(it.u32()) - 9).pop(),
            }),
            mounts: self.some(|it| Mount {
                host_path: it.text(),
                container_path: it.text(),
                options: it.some(Self::text),
                kind: it.text(),
            }),
            intel_rdt: self.some(Self::intel_rdt).pop(),
            additional_gids: self.some(Self::u32),
        }
    }

    fn intel_rdt(&mut self) -> IntelRdt {
        IntelRdt {
            clos_id: self.text(),
            l3_cache_schema: self.text(),
            mem_bw_schema: self.text(),
            schemata: self.some(Self::text),
            enable_monitoring: self.below(2) == 0,
            enable_cmt: self.below(2) == 0,
            enable_mbm: self.below(2) == 0,
        }
    }

    fn spec(&mut self) -> Spec {
        Spec {
            cdi_version: self.text(),
            kind: self.text(),
            annotations: self.annotations(),
            devices: self.some(|it| Device {
                name: it.text(),
                annotations: it.annotations(),
                container_edits: it.edits(),
            }),
            container_edits: self.edits(),
        }
    }
}

#[test]
fn what_is_written_is_read() {
    let mut random = Random(1);
    for _ in 0..500 {
        let spec = random.spec();
        for (name, format) in [("x.yaml", Format::Yaml), ("x.json", Format::Json)] {
            let text = to_text(&spec, format);
            assert_eq!(read(name, &text), spec, "{text}");
        }
    }
}
