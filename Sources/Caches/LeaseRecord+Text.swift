extension LeaseRecord {
    /// What `leases/TOKEN/holder.json` in the mount shows, ending in a line break.
    public var json: [UInt8] { JSONFile.bytes(self) }
}
