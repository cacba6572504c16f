/// The text of `README.txt` at the mount point.
enum Readme {
    static let text = """
        This is a Larder mount: container images you can look into without pulling them, and caches that builds share.

          images/HOST[:PORT]/REPO:TAG/   an image; looking at the path is what resolves it
          images/HOST[:PORT]/REPO@sha256:HEX/
              rootfs/                    its merged file tree
              layers/0, 1, ...           one link for each layer, lowest first
              manifest.json config.json index.json status.json
          layers/sha256/HEX/             one layer's own files (whiteouts as overlayfs shows them)
          snapshots/sha256/HEX/          a stack of layers, by ChainID
          blobs/sha256/HEX               the raw bytes as the registry has them, verified
          caches/ID/                     a cache's directory, live, to be read and written; mkdir makes one
          leases/TOKEN/                  who holds a cache now: holder.json, and root/ as the holder has it
          status.json  metrics           how the daemon is doing

        `ls images/` lists what is known; any other reference can be looked up all the same, as in
          ls images/docker.io/library/debian:12/rootfs

        Files arrive when they are read, are verified before anyone sees them, and stay: what was read once can be read
        again without a network. `du` counts what is really here, `du --apparent-size` what the images hold.
          getfattr -n user.larder.source FILE    local, or where it would come from
          getfattr -n user.larder.layer FILE     the layer it is in
          getfattr -n user.larder.digest FILE    sha256 of its content, once it is here
        Images cannot be changed. A change in caches/ waits while somebody has the cache to himself; `larder run --mount=...`
        gives a command a cache at the place where it looks for one.
        Commands: larder run, cache, lease, env, pull, image, status, verify, doctor.

        """
}
