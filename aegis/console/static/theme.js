// Before anything is drawn: the theme that was chosen here before, or none, which is the system's.
(() => {
  try {
    const theme = localStorage.getItem("aegis-theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // No storage: the system's theme.
  }
})();
