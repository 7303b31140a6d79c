//! Named images and kernels, and how each is fetched or built.
