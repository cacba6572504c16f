import OCI

/// For readers that follow a layer while it is unpacked.
extension TreeBuilder {
    /// The object that a large file is, once that is known. A hard link stands for its inode.
    /// - Precondition: `ordinal < nodeCount`.
    public func objectDigest(of ordinal: Ordinal) -> Digest? {
        tables.nodes[Int(canonical(ordinal))].objectNumber.flatMap { tables.objects[$0].digest }
    }
}
