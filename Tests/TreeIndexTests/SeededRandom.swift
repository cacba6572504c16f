import Glibc

/// SplitMix64 from a seed that a failing run can be repeated with: `LARDER_SEED=7 swift test`.
struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var word = state
        word = (word ^ (word >> 30)) &* 0xbf58_476d_1ce4_e5b9
        word = (word ^ (word >> 27)) &* 0x94d0_49bb_1331_11eb
        return word ^ (word >> 31)
    }

    /// True in `percent` of 100 cases.
    mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &self) < percent }

    /// Takes the seed from the environment, or a new one, and prints it.
    static func announced(_ test: String) -> SeededRandom {
        let seed = getenv("LARDER_SEED").flatMap { UInt64(String(cString: $0)) } ?? UInt64.random(in: 0..<1_000_000_000)
        print("\(test): LARDER_SEED=\(seed)")
        return SeededRandom(seed: seed)
    }
}
