//! Services for VMs, images and kernels; operations, the start plan with its undo, reconcile.
