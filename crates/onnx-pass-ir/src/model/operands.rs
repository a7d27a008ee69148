//! What a node reads and makes.

use smallvec::SmallVec;

use crate::ValueId;

/// The inputs and outputs of a node. They stand in one list, as most nodes have three or four in all, and so they stand
/// in the node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Operands {
    /// The inputs, then the outputs.
    ids: SmallVec<[Option<ValueId>; 4]>,
    /// For each input its place in its value's use list.
    use_pos: SmallVec<[u32; 4]>,
}

impl Operands {
    #[inline]
    pub fn inputs(&self) -> &[Option<ValueId>] {
        self.ids.get(..self.use_pos.len()).unwrap_or_default()
    }

    #[inline]
    pub fn outputs(&self) -> &[Option<ValueId>] {
        self.ids.get(self.use_pos.len()..).unwrap_or_default()
    }

    #[inline]
    pub fn outputs_mut(&mut self) -> &mut [Option<ValueId>] {
        self.ids.get_mut(self.use_pos.len()..).unwrap_or_default()
    }

    /// The places of the inputs in their values' use lists.
    #[inline]
    pub fn use_pos(&self) -> &[u32] {
        &self.use_pos
    }

    /// Notes that the use of an input stands at another place now.
    #[inline]
    pub fn moved_use(&mut self, slot: u32, pos: u32) {
        self.use_pos[slot as usize] = pos;
    }

    #[inline]
    pub fn push_input(&mut self, value: Option<ValueId>, pos: u32) {
        // While a node is read, its outputs are still to come.
        match self.use_pos.len() {
            n if n == self.ids.len() => self.ids.push(value),
            n => self.ids.insert(n, value),
        }
        self.use_pos.push(pos);
    }

    #[inline]
    pub fn set_input(&mut self, slot: usize, value: Option<ValueId>, pos: u32) {
        debug_assert!(slot < self.use_pos.len());
        (self.ids[slot], self.use_pos[slot]) = (value, pos);
    }

    /// Takes the last input away.
    pub fn pop_input(&mut self) {
        if self.use_pos.pop().is_some() {
            self.ids.remove(self.use_pos.len());
        }
    }

    /// Takes all inputs away.
    pub fn clear_inputs(&mut self) {
        self.ids.drain(..self.use_pos.len());
        self.use_pos.clear();
    }

    #[inline]
    pub fn push_output(&mut self, value: Option<ValueId>) {
        self.ids.push(value);
    }

    /// Takes away the absent outputs at the end.
    pub fn trim_outputs(&mut self) {
        while self.outputs().last().is_some_and(Option::is_none) {
            self.ids.pop();
        }
    }
}
