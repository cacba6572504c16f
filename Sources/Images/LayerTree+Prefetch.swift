/// Fetching for nobody in particular, ahead of those who will read.
extension LayerTree {
    var canPrefetch: Bool { format.hasTableOfContents }

    /// Brings spans that will be wanted. Whoever reads goes first.
    func bringAhead(_ numbers: [Int]) async throws {
        try await fetcher.bring(numbers, for: .profile)
    }
}
