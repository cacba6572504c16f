import OCI

/// For readers that follow a layer while it is unpacked.
extension TreeBuilder {
    /// The object that a large file is, once that is known. A hard link stands for its inode.
    /// - Precondition: `ordinal < nodeCount`.
    public func objectDigest(of ordinal: Ordinal) -> Digest? {
        tables.nodes[Int(canonical(ordinal))].objectNumber.flatMap { tables.objects[$0].digest }
    }

    /// The span that holds that offset of the content space, as far as spans have been added.
    public func span(at contentOffset: UInt64) -> (number: Int, span: ContentSpan)? {
        var low = 0
        var high = tables.spans.count
        while low < high {
            let middle = (low + high) / 2
            if tables.spans[middle].contentEnd <= contentOffset { low = middle + 1 } else { high = middle }
        }
        return low < tables.spans.count ? (low, tables.spans[low]) : nil
    }
}
