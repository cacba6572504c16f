/// How exactly times must agree.
public enum TimePrecision: Sendable {
    case nanoseconds
    /// As eStargz writes them: rounded to the nearest second.
    case seconds
}

extension TreeIndex {
    /// The first difference between two trees in names, kinds, attributes, sizes, extended attributes and which names are
    /// one inode; nil where there is none. Ordinals and the place of content do not count. It proves that a table of
    /// contents says the same as the archive it stands for.
    public static func difference(_ a: TreeIndex, _ b: TreeIndex, times: TimePrecision = .nanoseconds) -> String? {
        var comparison = TreeComparison(a: a.view, b: b.view, times: times)
        return withExtendedLifetime((a, b)) { comparison.run() }
    }
}

private struct TreeComparison {
    let a: TreeView
    let b: TreeView
    let times: TimePrecision
    // Which inode of the other tree an inode with several names has turned out to be.
    private var partners: [Ordinal: Ordinal] = [:]

    init(a: TreeView, b: TreeView, times: TimePrecision) {
        self.a = a
        self.b = b
        self.times = times
    }

    mutating func run() -> String? {
        var pending: [(Ordinal, Ordinal)] = [(0, 0)]
        while let (left, right) = pending.popLast() {
            if let problem = compareInodes(left, right) { return "\(printable(a.path(of: left))): \(problem)" }
            let (directory, other) = (a.node(left), b.node(right))
            for position in 0..<min(directory.childCount, other.childCount) {
                let (child, twin) = (a.child(of: directory, at: position), b.child(of: other, at: position))
                let order = compareNames(a.name(of: a.node(child)), b.name(of: b.node(twin)))
                if order < 0 { return only(a, child, "first") }
                if order > 0 { return only(b, twin, "second") }
                pending.append((child, twin))
            }
            if directory.childCount > other.childCount { return only(a, a.child(of: directory, at: other.childCount), "first") }
            if other.childCount > directory.childCount { return only(b, b.child(of: other, at: directory.childCount), "second") }
        }
        return nil
    }

    private func only(_ view: TreeView, _ ordinal: Ordinal, _ which: String) -> String {
        "\(printable(view.path(of: ordinal))): only in the \(which) tree"
    }

    private mutating func compareInodes(_ left: Ordinal, _ right: Ordinal) -> String? {
        let (inode, twin) = (a.canonical(left), b.canonical(right))
        let (x, y) = (a.node(inode), b.node(twin))
        if x.kind != y.kind { return "\(x.kind) or \(y.kind)" }
        if !x.isDirectory, x.linkCount != y.linkCount { return "\(x.linkCount) or \(y.linkCount) names" }
        if !x.isDirectory, x.linkCount > 1 {
            // As both inodes have the same number of names, a one-to-one match in one direction is one in both.
            if let known = partners[inode] { return known == twin ? nil : "hard links to different files" }
            partners[inode] = twin
        }
        if x.mode != y.mode { return "mode 0\(String(x.mode, radix: 8)) or 0\(String(y.mode, radix: 8))" }
        if (x.uid, x.gid) != (y.uid, y.gid) { return "owner \(x.uid):\(x.gid) or \(y.uid):\(y.gid)" }
        if x.size != y.size { return "size \(x.size) or \(y.size)" }
        if time(x) != time(y) { return "mtime \(time(x)) or \(time(y))" }
        if (x.deviceMajor, x.deviceMinor) != (y.deviceMajor, y.deviceMinor) {
            return "device \(x.deviceMajor):\(x.deviceMinor) or \(y.deviceMajor):\(y.deviceMinor)"
        }
        let counted: NodeFlags = [.opaque, .implicit]
        if x.flags.intersection(counted) != y.flags.intersection(counted) { return "one is opaque or implicit, the other not" }
        if compareNames(a.linkTarget(of: x), b.linkTarget(of: y)) != 0 {
            return "target \(printable(a.linkTarget(of: x))) or \(printable(b.linkTarget(of: y)))"
        }
        return compareAttributes(x, y)
    }

    private func time(_ node: TreeNode) -> [Int64] {
        switch times {
        case .nanoseconds: [node.modifiedSeconds, Int64(node.modifiedNanoseconds)]
        case .seconds: [node.modifiedSeconds &+ (node.modifiedNanoseconds >= 500_000_000 ? 1 : 0)]
        }
    }

    private func compareAttributes(_ x: TreeNode, _ y: TreeNode) -> String? {
        var (left, right) = (a.attributes(of: x), b.attributes(of: y))
        while true {
            switch (left.next(), right.next()) {
            case (nil, nil): return nil
            case (let one?, let other?):
                if compareNames(one.name, other.name) != 0 || compareNames(one.value, other.value) != 0 {
                    return "extended attribute \(printable(one.name)) or \(printable(other.name)) differs"
                }
            case (let one?, nil): return "extended attribute \(printable(one.name)) only in the first tree"
            case (nil, let other?): return "extended attribute \(printable(other.name)) only in the second tree"
            }
        }
    }
}
