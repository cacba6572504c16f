import LinuxIO

extension Store {
    /// Moves a damaged object out of the way, so that it is fetched again. False where it is gone already.
    func quarantine(_ path: String, reason: String) throws(StoreError) -> Bool {
        try requireWritable()
        let target = "\(StoreLayout.quarantine)/\(path.split(separator: "/").joined(separator: "-"))"
        log.error("damaged, moved to quarantine", metadata: ["file": "\(path)", "reason": "\(reason)", "to": "\(target)"])
        do throws(SystemError) {
            try root.rename(path, to: target)
            return true
        } catch {
            // Over NFS a rename that was done can still answer "no such file" when it was sent twice.
            if error.isAbsence { return false }
            throw StoreError(error, in: root)
        }
    }

    /// Removes what was found damaged.
    public func emptyQuarantine() throws(StoreError) {
        try requireWritable()
        try inStore(root) { () throws(SystemError) in try root.directoryIfPresent(StoreLayout.quarantine)?.removeContents() }
    }
}
