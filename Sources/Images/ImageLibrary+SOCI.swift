import LinuxIO
import OCI
import Store

extension ImageLibrary {
    /// The zTOC of a layer in SOCI's format. It takes the whole blob, which is fetched if it is not in the store.
    /// - Throws: `ArchiveError` of reason `unsupported` for a layer that no zTOC can describe: of zstd, or with sparse files.
    public func ztoc(of layer: ImageLayer) async throws -> [UInt8] {
        // The blob may go again before it is opened: to make room, or because it is damaged on the disk.
        for _ in 0..<2 {
            let ztoc: [UInt8]? = try await unpackers.runIfActive {
                guard let blob = try self.store.openProvenBlob(layer.descriptor.digest) else { return nil }
                return try SOCIIndex.ztoc(of: layer, blob: blob)
            }
            if let ztoc { return ztoc }
            try await fetchBlob(layer.descriptor, from: layer.repository) { self.observe(layer, .downloading, $0) }
        }
        throw ImageError.blob(layer.descriptor, "the store does not keep it; see the log")
    }
}
