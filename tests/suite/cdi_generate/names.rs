//! The names of devices, and which of them are asked for.

use super::{common, device, generate, names, nodes, refuses, said, spec, texts};
use crate::common::gpu_host::{Gpu, GpuHost};

const SMALL: &str = "small-2gpu.yaml";
const FIRST: &str = "GPU-11111111-1111-4111-8111-111111111111";
const SECOND: &str = "GPU-22222222-2222-4222-8222-222222222222";
const DIVIDED: &str = "GPU-33333333-3333-4333-8333-333333333333";
const WHOLE: &str = "GPU-44444444-4444-4444-8444-444444444444";

#[test]
fn strategies() {
    let Some(host) = GpuHost::of(SMALL) else {
        return;
    };
    for (options, expected) in [
        ("", vec!["0", "1", FIRST, SECOND, "all"]),
        ("--device-name-strategy index", vec!["0", "1", "all"]),
        ("--device-name-strategy uuid", vec![FIRST, SECOND, "all"]),
        (
            "--device-name-strategy type-index",
            vec!["all", "gpu0", "gpu1"],
        ),
        (
            "--device-name-strategy pci",
            vec!["all", "pci-0000-01-00.0", "pci-0000-41-00.0"],
        ),
        (
            "--device-name-strategy index,pci --no-all-device",
            vec!["0", "1", "pci-0000-01-00.0", "pci-0000-41-00.0"],
        ),
        (
            "--device-name-strategy=uuid --device-name-strategy=index",
            vec!["0", "1", FIRST, SECOND, "all"],
        ),
    ] {
        assert_eq!(names(&spec(&host, options)), expected, "{options}");
    }
    refuses(&host, "--device-name-strategy colour", &["colour"]);
    let spec = spec(&host, "--device-name-strategy pci");
    let gpu = device(&spec, "pci-0000-41-00.0");
    assert_eq!(
        nodes(gpu),
        ["/dev/nvidia1", "/dev/dri/card2", "/dev/dri/renderD129"]
    );
}

/// Indices follow PCI addresses, whatever the numbers of the nodes, until a list tells NVML's order.
#[test]
fn indices() {
    let gpus = Gpu::eight();
    let Some(host) = GpuHost::new(SMALL, &gpus) else {
        return;
    };
    let node = |gpu: &Gpu| format!("/dev/nvidia{}", gpu.minor);
    let printed = spec(&host, "");
    assert_eq!(names(&printed).len(), 17);
    for (index, gpu) in gpus.iter().enumerate() {
        assert_eq!(nodes(device(&printed, &index.to_string()))[0], node(gpu));
        assert_eq!(nodes(device(&printed, gpu.uuid()))[0], node(gpu));
    }
    let mut others = gpus;
    others.reverse();
    host.file("/list", GpuHost::smi_list(&others));
    let printed = spec(&host, "--nvidia-smi-list @ROOT@/list");
    for (index, gpu) in others.iter().enumerate() {
        assert_eq!(nodes(device(&printed, &index.to_string()))[0], node(gpu));
        assert_eq!(nodes(device(&printed, gpu.uuid()))[0], node(gpu));
    }
}

/// PCI addresses have numbers above 9 and more domains than one; the driver's file names are in the order of numbers only then.
#[test]
fn indices_of_other_domains() {
    let gpus = [
        Gpu::new("0000:0a:00.0", 3, 1),
        Gpu::new("0000:90:00.0", 0, 2),
        Gpu::new("0001:00:00.0", 2, 3),
        Gpu::new("10000:00:00.0", 1, 4),
    ];
    let Some(host) = GpuHost::new(SMALL, &gpus) else {
        return;
    };
    let printed = spec(&host, "--device-name-strategy index,pci");
    for (index, gpu) in gpus.iter().enumerate() {
        let node = format!("/dev/nvidia{}", gpu.minor);
        assert_eq!(nodes(device(&printed, &index.to_string()))[0], node);
        let pci = format!("pci-{}", gpu.bus_id.replace(':', "-"));
        assert_eq!(nodes(device(&printed, &pci))[0], node);
    }
}

#[test]
fn instances_of_mig() {
    let Some(host) = GpuHost::of("small-mig.yaml") else {
        return;
    };
    let printed = spec(&host, "");
    let named = |gi: u32, ci: u32| format!("MIG-{DIVIDED}:{gi}:{ci}");
    let (first, second, third) = (named(1, 0), named(5, 0), named(5, 1));
    assert_eq!(
        names(&printed),
        [
            "0:0", "0:1", "0:2", "1", WHOLE, &first, &second, &third, "all"
        ]
    );
    let caps = |minors: [u32; 2]| {
        let mut paths = vec!["/dev/nvidia0".to_owned()];
        paths.extend(minors.map(|minor| format!("/dev/nvidia-caps/nvidia-cap{minor}")));
        paths
    };
    for (index, name, minors) in [
        ("0:0", first, [12, 13]),
        ("0:1", second, [48, 49]),
        ("0:2", third, [48, 50]),
    ] {
        assert_eq!(nodes(device(&printed, index)), caps(minors));
        assert_eq!(nodes(device(&printed, &name)), caps(minors));
    }
    let printed = spec(&host, "--device-name-strategy type-index");
    assert_eq!(
        names(&printed),
        ["all", "gpu1", "mig0:0", "mig0:1", "mig0:2"]
    );
}

/// Instances are in the order of numbers, not of the names of their directories.
#[test]
fn instances_above_nine() {
    let [mut divided, _] = Gpu::mig();
    divided.instances = &[(10, 0), (2, 0), (9, 0)];
    let Some(host) = GpuHost::new(SMALL, &[divided]) else {
        return;
    };
    let printed = spec(&host, "--device-name-strategy index");
    for (name, minor) in [("0:0", 3 + 2 * 9), ("0:1", 3 + 9 * 9), ("0:2", 3 + 10 * 9)] {
        let cap = format!("/dev/nvidia-caps/nvidia-cap{minor}");
        assert!(nodes(device(&printed, name)).contains(&cap), "{name}");
    }
}

/// NVML's list tells the UUIDs of MIG devices, where it has as many as the kernel.
#[test]
fn lists_that_do_not_fit() {
    let Some(host) = GpuHost::of("small-mig.yaml") else {
        return;
    };
    let list = GpuHost::smi_list(&Gpu::mig());
    let without = |part: &str| {
        let lines = list.split_inclusive('\n');
        lines
            .filter(|line| !line.contains(part))
            .collect::<String>()
    };
    let more = list.replace(
        "GPU 1",
        "  MIG 1g.5gb      Device  3: (UUID: MIG-bbbbbbbb-0000-5000-8000-000000000009)\nGPU 1",
    );
    for (case, list) in [
        ("fewer", without("Device  2")),
        ("more", more),
        ("none", without("MIG ")),
    ] {
        host.file("/list", &list);
        let outcome = generate(&host, "--nvidia-smi-list @ROOT@/list");
        assert_eq!(outcome.code, 0, "{case}: {outcome:?}");
        assert_eq!(said(&outcome, "warning").len(), 1, "{case}: {outcome:?}");
        assert!(!outcome.stdout.contains("MIG-aaaa"), "{case}: {outcome:?}");
        assert!(
            outcome.stdout.contains("name: \"0:2\""),
            "{case}: {outcome:?}"
        );
    }
    // Units have an empty one where nvidia-smi is not there.
    let plain = generate(&host, "").stdout;
    host.file("/empty", "");
    host.file(
        "/failed",
        "Failed to initialize NVML: Driver/library version mismatch\n",
    );
    for (list, warnings) in [("empty", 0), ("failed", 1)] {
        let outcome = generate(&host, &format!("--nvidia-smi-list @ROOT@/{list}"));
        assert_eq!((outcome.code, &outcome.stdout), (0, &plain), "{list}");
        assert_eq!(
            said(&outcome, "warning").len(),
            warnings,
            "{list}: {outcome:?}"
        );
    }
    refuses(&host, "--nvidia-smi-list @ROOT@/gone", &["/gone"]);
}

#[test]
fn devices_that_are_asked_for() {
    let Some(host) = GpuHost::of(SMALL) else {
        return;
    };
    for (ids, expected) in [
        ("all", vec!["0", "1", FIRST, SECOND, "all"]),
        ("1", vec!["1", SECOND, "all"]),
        ("0,1", vec!["0", "1", FIRST, SECOND, "all"]),
        ("0 --device-id 1", vec!["0", "1", FIRST, SECOND, "all"]),
        (SECOND, vec!["1", SECOND, "all"]),
    ] {
        let spec = spec(&host, &format!("--device-id {ids}"));
        assert_eq!(names(&spec), expected, "{ids}");
    }
    let one = spec(&host, "--device-id 1");
    assert!(!nodes(device(&one, "all")).contains(&"/dev/nvidia0".to_owned()));
    for option in ["--device-ids", "--device", "--devices"] {
        assert_eq!(names(&spec(&host, &format!("{option} 1"))), names(&one));
    }
    let none = spec(&host, "--device-id none");
    assert_eq!(names(&none), ["none"]);
    assert_eq!(texts(&device(&none, "none")["env"]), ["NVCT_EMPTY_DEVICE="]);
    assert!(!nodes(common(&none)).contains(&"/dev/nvidia0".to_owned()));
}

#[test]
fn instances_that_are_asked_for() {
    let Some(host) = GpuHost::of("small-mig.yaml") else {
        return;
    };
    host.file("/list", GpuHost::smi_list(&Gpu::mig()));
    let uuid = "MIG-aaaaaaaa-0000-5000-8000-000000000002";
    for id in ["0:1", uuid, &format!("MIG-{DIVIDED}/5/0")] {
        let options = format!("--nvidia-smi-list @ROOT@/list --device-id {id}");
        assert_eq!(names(&spec(&host, &options)), ["0:1", uuid, "all"], "{id}");
    }
    let id = format!("MIG-{DIVIDED}/5/0");
    let printed = spec(&host, &format!("--device-id {id}"));
    assert_eq!(
        names(&printed),
        ["0:1", &format!("MIG-{DIVIDED}:5:0"), "all"]
    );
    for id in ["0:3", "1:0", &format!("MIG-{DIVIDED}/5/2"), uuid] {
        refuses(&host, &format!("--device-id {id}"), &[id]);
    }
}

#[test]
fn devices_that_are_not_there() {
    let Some(host) = GpuHost::of(SMALL) else {
        return;
    };
    for id in [
        "2",
        "foo",
        "0:0",
        WHOLE,
        "MIG-aaaaaaaa-0000-5000-8000-000000000002",
        "-1",
    ] {
        refuses(&host, &format!("--device-id={id}"), &[id]);
    }
    for twice in ["0,0", &format!("0,{FIRST}"), "1 --device-id 1"] {
        refuses(&host, &format!("--device-id {twice}"), &[]);
    }
}
