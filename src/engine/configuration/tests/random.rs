//! Random numbers and choices, the same in each run.

/// A stream of random numbers: splitmix64.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((x ^ (x >> 31)) % limit as u64).unwrap()
    }

    pub(super) fn flip(&mut self) -> bool {
        self.below(2) == 0
    }

    pub(super) fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// Some of the lines, in any order.
    pub(super) fn some<'a>(&mut self, from: &[&'a str]) -> Vec<&'a str> {
        let mut chosen: Vec<&str> = from.iter().copied().filter(|_| self.flip()).collect();
        self.shuffle(&mut chosen);
        chosen
    }

    /// The text with other line ends, a byte order mark, or no final line end.
    pub(super) fn disguise(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        if self.below(4) == 0 {
            text = text.replace('\n', "\r\n");
        }
        if self.below(4) == 0 {
            text.truncate(text.trim_end_matches(['\r', '\n']).len());
        }
        if self.below(8) == 0 {
            text.insert(0, '\u{feff}');
        }
        text
    }
}
