import LinuxIO
import OCI

extension Store {
    /// Opens span `number` of the layer with this content key; nil where it has to be fetched.
    public func openSpan(_ contentKey: Digest, _ number: UInt32) throws(StoreError) -> OwnedDescriptor? {
        try open(.span(contentKey, number))
    }

    /// The numbers of the spans that are here, ascending.
    public func presentSpans(_ contentKey: Digest) throws(StoreError) -> [UInt32] {
        try inStore(root) { () throws(SystemError) in
            guard let directory = try spanDirectory(contentKey) else { return [] }
            return try directory.entries().compactMap { StoreKey.spanNumber($0.text) }.sorted()
        }
    }

    @discardableResult
    public func publishSpan(_ file: TemporaryFile, _ contentKey: Digest, _ number: UInt32) throws(StoreError) -> Bool {
        try publish(file, as: .span(contentKey, number))
    }

    @discardableResult
    public func publishSpan(_ bytes: UnsafeRawBufferPointer, _ contentKey: Digest, _ number: UInt32) throws(StoreError) -> Bool {
        let file = try temporary("span")
        try file.write(bytes)
        return try publishSpan(file, contentKey, number)
    }

    /// Removes those spans of the range that are here; an emptied folder goes too.
    public func removeSpans(_ contentKey: Digest, _ range: some RangeExpression<UInt32>) throws(StoreError) {
        try requireWritable()
        try inStore(root) { () throws(SystemError) in
            guard let directory = try spanDirectory(contentKey) else { return }
            for entry in try directory.entries() {
                guard let number = StoreKey.spanNumber(entry.text), range.contains(number) else { continue }
                let status = try directory.statusIfPresent(entry.text)
                if try directory.remove(entry.text) { account.add(-Int64(clamping: status?.allocatedByteCount ?? 0), of: .content) }
            }
        }
        // Refused while it holds anything, such as a span that was published just now.
        _ = try? root.removeDirectory("\(StoreLayout.spans)/\(contentKey.hex)")
    }

    public func removeSpans(_ contentKey: Digest) throws(StoreError) { try removeSpans(contentKey, 0...) }

    private func spanDirectory(_ contentKey: Digest) throws(SystemError) -> Directory? {
        try root.directoryIfPresent("\(StoreLayout.spans)/\(contentKey.hex)")
    }
}
