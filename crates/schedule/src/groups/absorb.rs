//! A group absorbs the maps that it reads.
use super::Groups;
use eggrad_ir::NodeId;
impl Groups<'_> {
    pub(super) fn absorb_operands(&mut self, _: usize, _: NodeId) {}
}
