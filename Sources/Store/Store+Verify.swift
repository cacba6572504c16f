import Dispatch

extension Store {
    /// Reads everything in the store and holds it against its name: blobs and files against their digest, spans against
    /// their index, indexes against the format, references against the blobs. Works beside running daemons: what
    /// vanishes meanwhile is no finding. Memory is one mebibyte per core and the names of one directory.
    ///
    /// - Parameters:
    ///   - repair: moves damaged objects to `quarantine/`. References, strays and `index.json` are never touched.
    ///   - progress: called from many threads, after every object.
    /// - Throws: `StoreError`, or `CancellationError` when the task is cancelled.
    public func verify(repair: Bool, progress: @escaping @Sendable (VerifyProgress) -> Void = { _ in }) async throws -> VerifyReport {
        if repair { try requireWritable() }
        let run = VerifyRun(self, repair: repair, progress: progress)
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                // Hours of disk reading: not on the threads that tasks share.
                DispatchQueue(label: "larder.verify").async {
                    continuation.resume(with: Result { try run.report() })
                }
            }
        } onCancel: {
            run.cancel()
        }
    }
}
