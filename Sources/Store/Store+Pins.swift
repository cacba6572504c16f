import OCI

/// Images that stay, whatever the limits are: with all their content that is here, their indexes and their blobs.
extension Store {
    /// What is pinned. A pin is on the reference, not on what it names today.
    public func pins() throws(StoreError) -> Set<Reference> {
        let index = try referenceIndex()
        return Set(index.references.map(\.0).filter { index.isPinned($0) })
    }

    /// Pins an image or takes the pin away.
    /// - Returns: false where that was so already; nil where the store does not know the reference.
    public func setPinned(_ reference: Reference, _ isPinned: Bool) throws(StoreError) -> Bool? {
        var isKnown = true
        let changed = try changeIndex { index throws(StoreError) in
            do {
                guard let changed = try index.pin(reference, isPinned) else {
                    isKnown = false
                    return false
                }
                return changed
            } catch {
                throw .damaged(path: "\(path)/\(StoreLayout.index)", reason: "\(error)")
            }
        }
        return isKnown ? changed : nil
    }
}
