import LinuxIO

extension Lease {
    /// Brings an unclean instance in order with its tool's own check, where there is one, and says each step. Blocks.
    ///
    /// - Parameters:
    ///   - tool: whose cache it is; nil where nobody knows.
    ///   - environment: of this process.
    ///   - advice: what to do where the check did not pass.
    ///   - say: one line for whoever wants the cache.
    public func recover(as tool: (preset: Preset, cache: Preset.Cache)?, environment: [String: String], advice: String? = nil, say: (String) -> Void) throws {
        guard let mark = unclean else { return }
        let told = "cache '\(cache)' was left in the middle by \(mark.holder.summary)"
        guard let tool, let check = tool.cache.check else {
            // Nothing can tell; once said, it is as good as it will be.
            if try recover(check: { _ in true }) == .recovered { say("\(told); there is no check for it, so it is used as it is") }
            return
        }
        var outcome: Preset.Check.Outcome?
        let recovery = try recover { (_: Directory) throws(SystemError) -> Bool in
            say("\(told); checking it with `\(check.arguments.joined(separator: " "))`")
            let result = try check.run(tool.preset, tool.cache, at: path, environment: environment)
            outcome = result
            return result == .passed
        }
        switch recovery {
        case .failed:
            let reason = outcome == .unavailable ? "\(check.arguments[0]) is not installed here" : "the check failed"
            say("cache '\(cache)': \(reason), so it is used as it is\(advice.map { "; \($0)" } ?? "")")
        case .inUse: say("\(told); others use it now, so it is not checked")
        case .recovered, .wasClean, .readOnly: break
        }
    }
}
