//! hooks.d files, and the installed names of this program.

use super::{Finding, few};
use crate::hooks_dir::Fault;
use crate::host::allowance::Unusable;
use crate::inventory::Inventory;

pub(super) fn hooks_dir_is_valid(host: &Inventory) -> Vec<Finding> {
    let errors = host
        .hooks
        .iter()
        .filter_map(|file| Some((file, file.program.as_ref().err()?)));
    errors
        .map(|(file, err)| {
            let finding = format!("{}: {err}", file.path.display());
            match err {
                Unusable::Invalid(_) => Finding::error(
                    "hooks-dir-invalid",
                    finding,
                    "one invalid file in the directory keeps podman and CRI-O from starting any container",
                    "repair or remove the file; for the hooks of this program run 'nvidia-ctk install'",
                ),
                Unusable::LeftOut(_) => Finding::left_out("hooks-dir-left-out", finding),
            }
        })
        .collect()
}

pub(super) fn programs_can_be_called(host: &Inventory) -> Vec<Finding> {
    const FIX: &str = "install the program, or remove the file; for the hooks of this program run 'nvidia-ctk install'";
    let faults = host.hooks.iter().filter_map(|file| {
        let program = file.program.as_ref().ok()?.display();
        let what = |reason| format!("{} calls {program}: {reason}", file.path.display());
        Some(match file.fault.as_ref()? {
            Fault::Missing(reason) => Finding::warning(
                "hook-program-missing",
                what(reason),
                "the program was moved or removed: podman and CRI-O skip the hook silently",
                FIX,
            ),
            Fault::Unusable(reason) => Finding::error(
                "hook-program-missing",
                what(reason),
                "the program was replaced: containers for which the hook is called do not start",
                FIX,
            ),
        })
    });
    faults.collect()
}

pub(super) fn links_lead_somewhere(host: &Inventory) -> Vec<Finding> {
    let dangling: Vec<_> = host.programs.iter().filter(|it| !it.exists).collect();
    if dangling.is_empty() {
        return Vec::new();
    }
    vec![Finding::error(
        "program-link-dangling",
        format!(
            "links that lead nowhere: {}",
            few(dangling.iter().map(|it| it.path.display()))
        ),
        "the program was moved or removed, its links were not",
        "run 'nvidia-ctk install', or remove the links",
    )]
}
