/// The text of `README.txt` at the mount point.
enum Readme {
    static let text = """
        This is a Larder mount: container images you can look into without pulling them.

          images/HOST[:PORT]/REPO:TAG/   an image; looking at the path is what resolves it
          images/HOST[:PORT]/REPO@sha256:HEX/
              rootfs/                    its merged file tree
              layers/0, 1, ...           one link for each layer, lowest first
              manifest.json config.json index.json status.json
          layers/sha256/HEX/             one layer's own files (whiteouts as overlayfs shows them)
          snapshots/sha256/HEX/          a stack of layers, by ChainID
          blobs/sha256/HEX               the raw bytes as the registry has them, verified
          status.json  metrics           how the daemon is doing

        `ls images/` lists what is known; any other reference can be looked up all the same, as in
          ls images/docker.io/library/debian:12/rootfs

        Files arrive when they are read, are verified before anyone sees them, and stay: what was read once can be read
        again without a network. `du` counts what is really here, `du --apparent-size` what the images hold.
          getfattr -n user.larder.source FILE    local, or where it would come from
          getfattr -n user.larder.layer FILE     the layer it is in
          getfattr -n user.larder.digest FILE    sha256 of its content, once it is here
        Nothing here can be written. Commands: larder pull, image, status, verify, doctor.

        """
}
